package main

import (
	_ "github.com/ipfs/boxo/ipns"
	_ "github.com/ipfs/go-cid"
	_ "github.com/libp2p/go-libp2p-kad-dht"
	_ "github.com/libp2p/go-libp2p-pubsub"
	_ "github.com/libp2p/go-libp2p-record"
	_ "github.com/multiformats/go-multihash"
)
