"""What this node remembers of how its peers have behaved, and what follows from that."""
