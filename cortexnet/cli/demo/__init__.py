"""A small network of real processes and real sockets, shown at work."""
