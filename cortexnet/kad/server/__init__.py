"""What a node answers to others, and the streams on which they ask."""
