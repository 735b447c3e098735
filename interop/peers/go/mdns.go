package main

import (
	"context"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// mdnsNode is one node that is found by multicast DNS, and finds others.
type mdnsNode struct {
	host    host.Host
	service mdns.Service

	mu    sync.Mutex
	found []peer.AddrInfo
}

// HandlePeerFound is called by the service for each.
func (n *mdnsNode) HandlePeerFound(info peer.AddrInfo) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.found = append(n.found, info)
}

func (n *mdnsNode) close() {
	n.service.Close()
	n.host.Close()
}

// mdnsNodes are all of this process, by number.
type mdnsNodes struct {
	mu    sync.Mutex
	nodes []*mdnsNode
}

func (m *mdnsNodes) operations() map[string]operation {
	return map[string]operation{"mdns_start": m.start, "mdns_stop": m.stopOne, "mdns_found": m.found, "mdns_connect": m.connect}
}

func (m *mdnsNodes) get(number int) (*mdnsNode, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if number < 0 || number >= len(m.nodes) || m.nodes[number] == nil {
		return nil, badRequest("no node %d", number)
	}
	return m.nodes[number], nil
}

func (m *mdnsNodes) start(_ context.Context, r *request) (answer, error) {
	opts, err := options(r)
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(append(opts, libp2p.ListenAddrStrings(r.Listen...))...)
	if err != nil {
		return nil, err
	}
	node := &mdnsNode{host: h}
	node.service = mdns.NewMdnsService(h, r.Service, node)
	if err := node.service.Start(); err != nil {
		h.Close()
		return nil, err
	}
	addresses, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: h.ID(), Addrs: h.Network().ListenAddresses()})
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nodes = append(m.nodes, node)
	return answer{"node": len(m.nodes) - 1, "peer_id": h.ID().String(), "addresses": texts(addresses)}, nil
}

func (m *mdnsNodes) stopOne(_ context.Context, r *request) (answer, error) {
	node, err := m.get(r.Node)
	if err != nil {
		return nil, err
	}
	node.close()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nodes[r.Node] = nil
	return nil, nil
}

func (m *mdnsNodes) found(_ context.Context, r *request) (answer, error) {
	node, err := m.get(r.Node)
	if err != nil {
		return nil, err
	}
	node.mu.Lock()
	defer node.mu.Unlock()
	found := []answer{}
	for _, info := range node.found {
		addresses := []string{}
		for _, address := range info.Addrs {
			addresses = append(addresses, address.String())
		}
		found = append(found, answer{"peer_id": info.ID.String(), "addresses": addresses})
	}
	return answer{"found": found}, nil
}

// connect dials a peer where mDNS has said it is, and nowhere else.
func (m *mdnsNodes) connect(ctx context.Context, r *request) (answer, error) {
	node, err := m.get(r.Node)
	if err != nil {
		return nil, err
	}
	node.mu.Lock()
	index := slices.IndexFunc(node.found, func(info peer.AddrInfo) bool { return info.ID.String() == r.Peer })
	var info peer.AddrInfo
	if index >= 0 {
		info = node.found[index]
	}
	node.mu.Unlock()
	if index < 0 {
		return nil, badRequest("%s was not found", r.Peer)
	}
	return nil, node.host.Connect(ctx, info)
}

func (m *mdnsNodes) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, node := range m.nodes {
		if node != nil {
			node.close()
		}
	}
}
