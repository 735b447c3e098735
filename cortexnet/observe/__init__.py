"""What a node tells about itself while it runs: events, health, metrics, and a socket to ask it."""
