"""Interoperability: the same scenarios over ordered pairs of libp2p implementations; start with README.md."""
