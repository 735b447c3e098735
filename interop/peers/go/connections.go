package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

var directions = map[network.Direction]string{network.DirInbound: "inbound", network.DirOutbound: "outbound"}

func texts[T fmt.Stringer](items []T) []string {
	out := make([]string, 0, len(items))
	for _, item := range items {
		out = append(out, item.String())
	}
	return out
}

// target is the node and the peer that a request names.
func (p *peerProgram) target(r *request) (host.Host, peer.ID, error) {
	h, err := p.node()
	if err != nil {
		return nil, "", err
	}
	id, err := peer.Decode(r.Peer)
	if err != nil {
		return nil, "", badRequest("peer: %v", err)
	}
	return h, id, nil
}

func (p *peerProgram) connect(ctx context.Context, r *request) (answer, error) {
	h, err := p.node()
	if err != nil {
		return nil, err
	}
	info, err := peer.AddrInfoFromString(r.Address)
	if err != nil {
		return nil, badRequest("address: %v", err)
	}
	begin := time.Now()
	if err := h.Connect(ctx, *info); err != nil {
		return nil, err
	}
	seconds := time.Since(begin).Seconds()
	body, err := connectionTo(h, info.ID)
	if err != nil {
		return nil, err
	}
	body["seconds"] = seconds
	return body, nil
}

func (p *peerProgram) connection(_ context.Context, r *request) (answer, error) {
	h, id, err := p.target(r)
	if err != nil {
		return nil, err
	}
	return connectionTo(h, id)
}

// connectionTo says what the connection to a peer is made of.
func connectionTo(h host.Host, id peer.ID) (answer, error) {
	connections := h.Network().ConnsToPeer(id)
	if len(connections) == 0 {
		return nil, network.ErrNoConn
	}
	state := connections[0].ConnState()
	return answer{
		"peer_id": connections[0].RemotePeer().String(), "direction": directions[connections[0].Stat().Direction],
		"transport": state.Transport, "security": string(state.Security), "muxer": string(state.StreamMultiplexer),
		"early_muxer": state.UsedEarlyMuxerNegotiation,
	}, nil
}

func (p *peerProgram) disconnect(_ context.Context, r *request) (answer, error) {
	h, id, err := p.target(r)
	if err != nil {
		return nil, err
	}
	return nil, h.Network().ClosePeer(id)
}

func (p *peerProgram) peers(context.Context, *request) (answer, error) {
	h, err := p.node()
	if err != nil {
		return nil, err
	}
	return answer{"peers": texts(h.Network().Peers())}, nil
}

func (p *peerProgram) ping(ctx context.Context, r *request) (answer, error) {
	h, id, err := p.target(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seconds := []float64{}
	results := ping.Ping(ctx, h, id)
	for range max(r.Count, 1) {
		result, open := <-results
		if !open {
			return nil, ctx.Err()
		}
		if result.Error != nil {
			return nil, result.Error
		}
		seconds = append(seconds, result.RTT.Seconds())
	}
	return answer{"seconds": seconds}, nil
}

// identifications keeps what go-libp2p accepted of each peer's identify messages.
type identifications struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every new one
	byPeer  map[peer.ID]event.EvtPeerIdentificationCompleted
}

func watchIdentify(h host.Host) (*identifications, error) {
	subscription, err := h.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted), eventbus.BufSize(1024))
	if err != nil {
		return nil, err
	}
	seen := &identifications{changed: make(chan struct{}), byPeer: map[peer.ID]event.EvtPeerIdentificationCompleted{}}
	go func() {
		for e := range subscription.Out() {
			completed := e.(event.EvtPeerIdentificationCompleted)
			seen.mu.Lock()
			seen.byPeer[completed.Peer] = completed
			close(seen.changed)
			seen.changed = make(chan struct{})
			seen.mu.Unlock()
		}
	}()
	return seen, nil
}

func (i *identifications) wait(ctx context.Context, id peer.ID) (event.EvtPeerIdentificationCompleted, error) {
	for {
		i.mu.Lock()
		completed, known := i.byPeer[id]
		changed := i.changed
		i.mu.Unlock()
		if known {
			return completed, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return completed, ctx.Err()
		}
	}
}

func (p *peerProgram) identified(ctx context.Context, r *request) (answer, error) {
	h, id, err := p.target(r)
	if err != nil {
		return nil, err
	}
	completed, err := p.identify.wait(ctx, id)
	if err != nil {
		return nil, err
	}
	protocols, err := h.Peerstore().GetProtocols(id) // newer than the event where a push came since
	if err != nil {
		return nil, err
	}
	keyType := ""
	if key := h.Peerstore().PubKey(id); key != nil {
		keyType = keyTypeName(int(key.Type()))
	}
	observed := ""
	if completed.ObservedAddr != nil {
		observed = completed.ObservedAddr.String()
	}
	return answer{
		"agent_version": completed.AgentVersion, "protocol_version": completed.ProtocolVersion,
		"protocols": protocol.ConvertToStrings(protocols), "listen_addresses": texts(completed.ListenAddrs),
		"observed_address": observed, "key_type": keyType, "signed_record": completed.SignedPeerRecord != nil,
	}, nil
}

func keyTypeName(number int) string {
	for name, n := range keyTypes {
		if n == number {
			return name
		}
	}
	return "unknown"
}
