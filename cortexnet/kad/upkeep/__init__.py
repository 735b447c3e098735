"""What a DHT node does by itself: who is in its table, refreshes, and what it stores with others again."""
