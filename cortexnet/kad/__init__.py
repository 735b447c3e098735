"""The DHT of libp2p: find any peer and any content."""
