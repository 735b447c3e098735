package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"
)

const headerSize = 8

func (g *gossipNodes) operations() map[string]operation {
	return map[string]operation{
		"gossip_start": g.start, "gossip_connect": g.connect, "gossip_connected": g.connected, "gossip_reset": g.resetStreams,
		"gossip_subscribe": g.subscribe, "gossip_unsubscribe": g.unsubscribe, "gossip_peers": g.peers,
		"gossip_publish": g.publish, "gossip_say": g.say, "gossip_wait": g.wait, "gossip_received": g.received,
		"gossip_scores": g.scores, "gossip_counts": g.counts,
	}
}

func gossipMessage(tag, number uint32, size int64) []byte {
	data := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, tag), number)
	for length := size - headerSize; int64(len(data)) < headerSize+length; {
		data = append(data, payload(int64(len(data))-headerSize, headerSize+length-int64(len(data)))...)
	}
	return data
}

func isRight(data []byte) bool {
	if len(data) < headerSize {
		return false
	}
	for at := int64(0); at < int64(len(data))-headerSize; at += period {
		rest := data[headerSize+at:]
		if !bytes.HasPrefix(rest, payload(at, int64(len(rest)))) {
			return false
		}
	}
	return true
}

func (g *gossipNodes) subscribe(_ context.Context, r *request) (answer, error) {
	node, err := g.get(r.Node)
	if err != nil {
		return nil, err
	}
	_, err = node.topic(r.Topic)
	return nil, err
}

// unsubscribe leaves a topic; the node cannot join it again.
func (g *gossipNodes) unsubscribe(_ context.Context, r *request) (answer, error) {
	node, err := g.get(r.Node)
	if err != nil {
		return nil, err
	}
	topic, err := node.topic(r.Topic)
	if err != nil {
		return nil, err
	}
	topic.leave()
	return nil, nil
}

// peers are those that want a topic, those of its mesh, and what is spoken to each.
func (g *gossipNodes) peers(_ context.Context, r *request) (answer, error) {
	node, err := g.get(r.Node)
	if err != nil {
		return nil, err
	}
	// Before the lock: the router, which answers this, tells the tracer of what it does.
	subscribers := texts(node.pubsub.ListPeers(r.Topic))
	node.traced.Lock()
	defer node.traced.Unlock()
	spoken := map[string]string{}
	for id, name := range node.protocols {
		spoken[id.String()] = string(name)
	}
	mesh := []string{}
	for id := range node.meshes[r.Topic] {
		mesh = append(mesh, id.String())
	}
	return answer{"subscribers": subscribers, "mesh": mesh, "protocols": spoken}, nil
}

// publish sends messages of a topic; with at_once, never so many ahead of the slowest node here, and until all have all.
func (g *gossipNodes) publish(ctx context.Context, r *request) (answer, error) {
	node, err := g.get(r.Node)
	if err != nil {
		return nil, err
	}
	topic, err := node.topic(r.Topic)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	for number := range r.Count {
		if r.AtOnce > 0 {
			if err := g.waitForAll(ctx, r.Topic, int(r.First)+number-r.AtOnce+1); err != nil {
				return nil, err
			}
		}
		if err := topic.topic.Publish(ctx, gossipMessage(r.Tag, r.First+uint32(number), r.Size)); err != nil {
			return nil, err
		}
	}
	if r.AtOnce > 0 {
		if err := g.waitForAll(ctx, r.Topic, int(r.First)+r.Count); err != nil {
			return nil, err
		}
	}
	return answer{"seconds": time.Since(begin).Seconds()}, nil
}

func (g *gossipNodes) waitForAll(ctx context.Context, name string, count int) error {
	for _, node := range g.all() {
		node.mu.Lock()
		topic := node.topics[name]
		node.mu.Unlock()
		if topic == nil {
			continue
		}
		if err := topic.wait(ctx, count); err != nil {
			return err
		}
	}
	return nil
}

// wait returns once every node here that has the topic has had so many different messages of it.
func (g *gossipNodes) wait(ctx context.Context, r *request) (answer, error) {
	return nil, g.waitForAll(ctx, r.Topic, r.Count)
}

// received says of each node that has the topic what came: how many of each tag, how many again, how many damaged.
func (g *gossipNodes) received(_ context.Context, r *request) (answer, error) {
	nodes := []answer{}
	for number, node := range g.all() {
		node.mu.Lock()
		topic := node.topics[r.Topic]
		node.mu.Unlock()
		if topic == nil {
			continue
		}
		topic.mu.Lock()
		tags := map[uint32]int{}
		for key := range topic.seen {
			tags[uint32(key>>32)]++
		}
		nodes = append(nodes, answer{
			"node": number, "messages": len(topic.seen), "tags": tags, "repeated": topic.repeated, "wrong": topic.wrong,
		})
		topic.mu.Unlock()
	}
	return answer{"nodes": nodes}, nil
}

// say writes what the runner wants on a stream of its own, past the node's gossip.
func (g *gossipNodes) say(ctx context.Context, r *request) (answer, error) {
	node, err := g.get(r.Node)
	if err != nil {
		return nil, err
	}
	id, err := peer.Decode(r.Peer)
	if err != nil {
		return nil, badRequest("peer: %v", err)
	}
	data, err := bytesOf(r.Value)
	if err != nil {
		return nil, err
	}
	stream, err := node.host.NewStream(ctx, id, protocol.ID(r.Protocol))
	if err != nil {
		return nil, err
	}
	_, err = stream.Write(data)
	return nil, err
}

// scores are what a node thinks of its peers now, and the lowest it ever thought of each, with what it had against it.
func (g *gossipNodes) scores(_ context.Context, r *request) (answer, error) {
	node, err := g.get(r.Node)
	if err != nil {
		return nil, err
	}
	node.traced.Lock()
	defer node.traced.Unlock()
	return answer{"scores": node.latest, "held": node.held}, nil
}

// counts are the bytes of all RPCs that came, and the ids of some of their control messages.
func (g *gossipNodes) counts(_ context.Context, r *request) (answer, error) {
	node, err := g.get(r.Node)
	if err != nil {
		return nil, err
	}
	node.traced.Lock()
	defer node.traced.Unlock()
	return answer{"bytes": node.bytes, "ihave": node.ihave, "iwant": node.iwant, "idontwant": node.idontwant}, nil
}

// grudge is what a node had against a peer at any time.
type grudge struct {
	Lowest    float64 `json:"lowest"`
	Invalid   float64 `json:"invalid"`
	Behaviour float64 `json:"behaviour"`
}

// gossipTrace notes what go-libp2p-pubsub tells of its doings.
type gossipTrace struct {
	traced    sync.Mutex
	protocols map[peer.ID]protocol.ID
	meshes    map[string]map[peer.ID]struct{}
	latest    map[string]float64
	held      map[string]*grudge
	bytes     int
	ihave     int
	iwant     int
	idontwant int
}

func (t *gossipTrace) inspect(snapshots map[peer.ID]*pubsub.PeerScoreSnapshot) {
	t.traced.Lock()
	defer t.traced.Unlock()
	t.latest = map[string]float64{}
	for id, snapshot := range snapshots {
		t.latest[id.String()] = snapshot.Score
		held := t.held[id.String()]
		if held == nil {
			held = &grudge{}
			t.held[id.String()] = held
		}
		held.Lowest = min(held.Lowest, snapshot.Score)
		held.Behaviour = max(held.Behaviour, snapshot.BehaviourPenalty)
		for _, topic := range snapshot.Topics {
			held.Invalid = max(held.Invalid, topic.InvalidMessageDeliveries)
		}
	}
}

func (t *gossipTrace) OnNewOutboundStream(id peer.ID, name protocol.ID) {
	t.traced.Lock()
	defer t.traced.Unlock()
	t.protocols[id] = name
}

func (t *gossipTrace) OnClosedOutboundStream(id peer.ID) {
	t.traced.Lock()
	defer t.traced.Unlock()
	delete(t.protocols, id)
	for _, mesh := range t.meshes {
		delete(mesh, id)
	}
}

func (t *gossipTrace) Graft(id peer.ID, topic string) {
	t.traced.Lock()
	defer t.traced.Unlock()
	if t.meshes == nil {
		t.meshes = map[string]map[peer.ID]struct{}{}
	}
	if t.meshes[topic] == nil {
		t.meshes[topic] = map[peer.ID]struct{}{}
	}
	t.meshes[topic][id] = struct{}{}
}

func (t *gossipTrace) Prune(id peer.ID, topic string) {
	t.traced.Lock()
	defer t.traced.Unlock()
	delete(t.meshes[topic], id)
}

func (t *gossipTrace) RecvRPC(rpc *pubsub.RPC) {
	t.traced.Lock()
	defer t.traced.Unlock()
	t.bytes += proto.Size(&rpc.RPC)
	for _, each := range rpc.GetControl().GetIhave() {
		t.ihave += len(each.GetMessageIDs())
	}
	for _, each := range rpc.GetControl().GetIwant() {
		t.iwant += len(each.GetMessageIDs())
	}
	for _, each := range rpc.GetControl().GetIdontwant() {
		t.idontwant += len(each.GetMessageIDs())
	}
}

func (t *gossipTrace) Join(string)                                          {}
func (t *gossipTrace) Leave(string)                                         {}
func (t *gossipTrace) ValidateMessage(*pubsub.Message)                      {}
func (t *gossipTrace) DeliverMessage(*pubsub.Message)                       {}
func (t *gossipTrace) RejectMessage(*pubsub.Message, string)                {}
func (t *gossipTrace) DuplicateMessage(*pubsub.Message)                     {}
func (t *gossipTrace) ThrottlePeer(peer.ID)                                 {}
func (t *gossipTrace) SendRPC(*pubsub.RPC, peer.ID)                         {}
func (t *gossipTrace) SendRPCCompleted(*pubsub.RPC, peer.ID, time.Duration) {}
func (t *gossipTrace) DropRPC(*pubsub.RPC, peer.ID)                         {}
func (t *gossipTrace) UndeliverableMessage(*pubsub.Message)                 {}
