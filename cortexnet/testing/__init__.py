"""Tools to test protocols with: strategies, virtual time, simulated links, adversaries."""
