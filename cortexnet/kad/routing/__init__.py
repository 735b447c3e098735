"""Where peers and keys lie, and which peers a node knows."""
