"""Many streams over one connection: the muxer interface and yamux."""
