"""Many streams over one connection: the muxer interface, yamux and mplex."""
