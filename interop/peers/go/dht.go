package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/dual"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/routing"
)

var dhtModes = map[string]dht.ModeOpt{"": dht.ModeServer, "server": dht.ModeServer, "client": dht.ModeClient}

// dhtNode is one node with a DHT; table is the one without filters, or the one for private networks of two.
type dhtNode struct {
	host    host.Host
	routing routing.Routing
	table   *dht.IpfsDHT
	close   func() error
}

// dhtNodes are all of this process, by number.
type dhtNodes struct {
	mu    sync.Mutex
	nodes []*dhtNode
}

func (d *dhtNodes) get(number int) (*dhtNode, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if number < 0 || number >= len(d.nodes) || d.nodes[number] == nil {
		return nil, badRequest("no node %d", number)
	}
	return d.nodes[number], nil
}

func (d *dhtNodes) all() []*dhtNode {
	d.mu.Lock()
	defer d.mu.Unlock()
	running := []*dhtNode{}
	for _, node := range d.nodes {
		if node != nil {
			running = append(running, node)
		}
	}
	return running
}

func (d *dhtNodes) add(node *dhtNode) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nodes = append(d.nodes, node)
	return len(d.nodes) - 1
}

func (d *dhtNodes) stop() {
	for _, node := range d.all() {
		node.close()
	}
}

// numbered judges values such as "7 anything": of two the one with the higher number counts.
type numbered struct{}

func (numbered) number(value []byte) (uint64, error) {
	digits, _, found := strings.Cut(string(value), " ")
	if !found {
		return 0, errors.New("no space behind a number")
	}
	return strconv.ParseUint(digits, 10, 32)
}

func (n numbered) Validate(_ string, value []byte) error {
	_, err := n.number(value)
	return err
}

func (n numbered) Select(_ string, values [][]byte) (int, error) {
	best, highest := -1, uint64(0)
	for i, value := range values {
		number, err := n.number(value)
		if err == nil && (best < 0 || number > highest) {
			best, highest = i, number
		}
	}
	if best < 0 {
		return 0, errors.New("no valid value")
	}
	return best, nil
}

// start makes a number of nodes of one kind.
func (d *dhtNodes) start(ctx context.Context, r *request) (answer, error) {
	started := []answer{}
	for range max(r.Count, 1) {
		node, err := newDhtNode(r)
		if err != nil {
			return nil, err
		}
		number := d.add(node)
		if err := node.routing.Bootstrap(ctx); err != nil {
			return nil, err
		}
		addresses, err := peer.AddrInfoToP2pAddrs(host.InfoFromHost(node.host))
		if err != nil {
			return nil, err
		}
		started = append(started, answer{"node": number, "peer_id": node.host.ID().String(), "addresses": texts(addresses)})
	}
	return answer{"nodes": started}, nil
}

func newDhtNode(r *request) (*dhtNode, error) {
	opts, err := options(r)
	if err != nil {
		return nil, err
	}
	if len(r.Listen) == 0 {
		opts = append(opts, libp2p.NoListenAddrs)
	} else {
		opts = append(opts, libp2p.ListenAddrStrings(r.Listen...))
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		return nil, err
	}
	node, err := withDht(h, r)
	if err != nil {
		h.Close()
	}
	return node, err
}

func withDht(h host.Host, r *request) (*dhtNode, error) {
	opts, err := dhtOptions(r)
	if err != nil {
		return nil, err
	}
	if r.Dual {
		both, err := dual.New(h, dual.DHTOption(opts...), dual.LanDHTOption(dht.AddressFilter(nil)))
		if err != nil {
			return nil, err
		}
		return &dhtNode{h, both, both.LAN, func() error { return errors.Join(both.Close(), h.Close()) }}, nil
	}
	one, err := dht.New(h, opts...)
	if err != nil {
		return nil, err
	}
	return &dhtNode{h, one, one, func() error { return errors.Join(one.Close(), h.Close()) }}, nil
}

func dhtOptions(r *request) ([]dht.Option, error) {
	mode, known := dhtModes[r.Mode]
	if !known {
		return nil, badRequest("unknown mode %q", r.Mode)
	}
	opts := []dht.Option{}
	if !r.Dual || mode == dht.ModeClient {
		opts = append(opts, dht.Mode(mode)) // of two, the one for private networks serves by itself, the other where it is public
	}
	if r.Prefix != "" {
		opts = append(opts, dht.ProtocolPrefix(protocol.ID(r.Prefix)))
	}
	if r.K > 0 {
		opts = append(opts, dht.BucketSize(r.K))
	}
	for _, namespace := range r.Validators {
		opts = append(opts, dht.NamespacedValidator(namespace, numbered{}))
	}
	return opts, nil
}

// end closes one node; its number is not used again.
func (d *dhtNodes) end(_ context.Context, r *request) (answer, error) {
	node, err := d.get(r.Node)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.nodes[r.Node] = nil
	d.mu.Unlock()
	return nil, node.close()
}

func (d *dhtNodes) connect(ctx context.Context, r *request) (answer, error) {
	node, err := d.get(r.Node)
	if err != nil {
		return nil, err
	}
	info, err := peer.AddrInfoFromString(r.Address)
	if err != nil {
		return nil, badRequest("address: %v", err)
	}
	return nil, node.host.Connect(ctx, *info)
}

func (d *dhtNodes) peers(_ context.Context, r *request) (answer, error) {
	node, err := d.get(r.Node)
	if err != nil {
		return nil, err
	}
	return answer{"peers": texts(node.table.RoutingTable().ListPeers())}, nil
}

// refresh looks after the routing table at once, as go-libp2p does every ten minutes.
func (d *dhtNodes) refresh(ctx context.Context, r *request) (answer, error) {
	node, err := d.get(r.Node)
	if err != nil {
		return nil, err
	}
	select {
	case err = <-node.table.ForceRefresh():
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("refresh: %w", err)
	}
	return nil, nil
}
