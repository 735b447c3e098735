"""Gossip routers by the thousand, and those who attack them. See `docs/simulation.md`."""
