"""Connections to peers: what is known of them, how they are dialed, which are kept."""
