"""Benchmarks: the node against a ceiling for pure Python on this machine, and against go-libp2p. Run `python -m bench`."""
