"""Self-describing values: varint, multibase, multihash, CID and multiaddr."""
