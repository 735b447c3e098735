"""Pubsub: gossipsub 1.0 to 1.3, and floodsub."""
