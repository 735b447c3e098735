"""QUIC v1: the seam of its engines, the one on aioquic, and what its endpoint decides about datagrams."""
