"""Benchmarks: the node against a ceiling for pure Python on this machine, go-libp2p and rust-libp2p. Run `python -m bench`."""
