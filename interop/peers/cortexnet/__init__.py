"""cortexnet as a peer of the interop harness, through its public API alone."""
