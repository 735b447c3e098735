"""Connections to peers: what is known of them, how they are dialed, what is allowed."""
