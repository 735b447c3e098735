package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/proto"
)

// fill puts peers that nobody ever meets into a node's routing table.
func (d *dhtNodes) fill(_ context.Context, r *request) (answer, error) {
	node, err := d.get(r.Node)
	if err != nil {
		return nil, err
	}
	addresses := []multiaddr.Multiaddr{}
	for _, text := range r.Addresses {
		address, err := multiaddr.NewMultiaddr(text)
		if err != nil {
			return nil, badRequest("address: %v", err)
		}
		addresses = append(addresses, address)
	}
	for _, text := range r.Peers {
		id, err := peer.Decode(text)
		if err != nil {
			return nil, badRequest("peer: %v", err)
		}
		node.host.Peerstore().AddAddrs(id, addresses, peerstore.PermanentAddrTTL)
		if _, err := node.table.RoutingTable().TryAddPeer(id, true, false); err != nil {
			return nil, err
		}
	}
	return answer{"count": node.table.RoutingTable().Size()}, nil
}

// findNodes has a number of clients ask one node for the peers nearest to random keys, each on one stream, one request at a time.
func (d *dhtNodes) findNodes(ctx context.Context, r *request) (answer, error) {
	streams := []network.Stream{}
	for range max(r.AtOnce, 1) {
		s, closeHost, err := dhtStream(ctx, r)
		if err != nil {
			return nil, err
		}
		defer closeHost()
		streams = append(streams, s)
	}
	var left, closer atomic.Int64
	left.Store(int64(r.Count))
	begin := time.Now()
	err := together(len(streams), func(i int) error {
		return askNodes(streams[i], &left, &closer)
	})
	return answer{"count": r.Count, "closer": closer.Load(), "seconds": time.Since(begin).Seconds()}, err
}

// dhtStream is a stream to the node at an address, from a node of its own.
func dhtStream(ctx context.Context, r *request) (network.Stream, func() error, error) {
	info, err := peer.AddrInfoFromString(r.Address)
	if err != nil {
		return nil, nil, badRequest("address: %v", err)
	}
	opts, err := options(r)
	if err != nil {
		return nil, nil, err
	}
	h, err := libp2p.New(append(opts, libp2p.NoListenAddrs)...)
	if err != nil {
		return nil, nil, err
	}
	if err := h.Connect(ctx, *info); err != nil {
		h.Close()
		return nil, nil, err
	}
	s, err := h.NewStream(ctx, info.ID, protocol.ID(r.Protocol))
	if err != nil {
		h.Close()
		return nil, nil, err
	}
	return s, h.Close, nil
}

// askNodes sends requests until none is left.
func askNodes(s network.Stream, left, closer *atomic.Int64) error {
	in := bufio.NewReaderSize(s, defaultBlock)
	key := make([]byte, 32)
	for left.Add(-1) >= 0 {
		rand.Read(key)
		request, err := proto.Marshal(&pb.Message{Type: pb.Message_FIND_NODE, Key: key})
		if err != nil {
			return err
		}
		if _, err := s.Write(append(binary.AppendUvarint(nil, uint64(len(request))), request...)); err != nil {
			return err
		}
		size, err := binary.ReadUvarint(in)
		if err != nil {
			return err
		}
		if size > messageMaximum {
			return errors.New("answer too large")
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(in, data); err != nil {
			return err
		}
		var found pb.Message
		if err := proto.Unmarshal(data, &found); err != nil {
			return err
		}
		closer.Add(int64(len(found.CloserPeers)))
	}
	return nil
}

// lookups looks for the peers nearest to random keys, from all nodes of this process at once, each one lookup after the other.
func (d *dhtNodes) lookups(ctx context.Context, r *request) (answer, error) {
	nodes := d.all()
	var left, closer atomic.Int64
	left.Store(int64(r.Count))
	begin := time.Now()
	err := together(len(nodes), func(i int) error {
		key := make([]byte, 32)
		for left.Add(-1) >= 0 {
			rand.Read(key)
			peers, err := nodes[i].table.GetClosestPeers(ctx, string(key))
			if err != nil {
				return err
			}
			closer.Add(int64(len(peers)))
		}
		return nil
	})
	return answer{"count": r.Count, "closer": closer.Load(), "seconds": time.Since(begin).Seconds()}, err
}

// together runs a number of things at once and has the first error of any.
func together(count int, act func(i int) error) error {
	var running sync.WaitGroup
	failures := make([]error, count)
	for i := range count {
		running.Go(func() { failures[i] = act(i) })
	}
	running.Wait()
	return errors.Join(failures...)
}
