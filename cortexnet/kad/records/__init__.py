"""What the DHT takes and keeps: validators, IPNS, namespaces, and the stores of values and providers."""
