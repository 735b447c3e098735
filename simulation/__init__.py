"""Protocol cores by the thousand on virtual time: what a network of them does, by a seed. See `docs/simulation.md`."""
