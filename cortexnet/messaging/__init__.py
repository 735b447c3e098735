"""Direct requests and responses."""
