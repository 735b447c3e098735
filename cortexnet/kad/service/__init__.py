"""`node.kad`, and all that drives the cores of the DHT: streams, timers, the public and the private half."""
