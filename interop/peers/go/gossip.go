package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// gossipRequest has the fields that only gossip's operations read.
type gossipRequest struct {
	Topic     string   `json:"topic"`
	Protocols []string `json:"protocols"`
	Unsigned  bool     `json:"unsigned"`
	Ids       string   `json:"ids"`
	Scoring   bool     `json:"scoring"`
	Exchange  bool     `json:"exchange"`
	Degree    *int     `json:"degree"`
	Heartbeat float64  `json:"heartbeat"`
	Slow      float64  `json:"slow"`
	Tag       uint32   `json:"tag"`
	First     uint32   `json:"first"`
}

const (
	scoredTopic = "scored"
	idSize      = 20
	patience    = 4096 // messages that wait anywhere, so that none is lost for want of room
)

// gossipNode is one node with gossip, its topics, and all that it was told.
type gossipNode struct {
	gossipTrace
	host   host.Host
	pubsub *pubsub.PubSub
	end    context.CancelFunc
	slow   time.Duration
	mu     sync.Mutex
	topics map[string]*gossipTopic
}

// gossipNodes are all of this process, by number.
type gossipNodes struct {
	mu    sync.Mutex
	nodes []*gossipNode
}

func (g *gossipNodes) get(number int) (*gossipNode, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if number < 0 || number >= len(g.nodes) {
		return nil, badRequest("no gossip node %d", number)
	}
	return g.nodes[number], nil
}

func (g *gossipNodes) all() []*gossipNode {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]*gossipNode{}, g.nodes...)
}

func (g *gossipNodes) stop() {
	for _, node := range g.all() {
		node.end()
		node.host.Close()
	}
}

// start makes a number of nodes of one kind, which have subscribed to the topic if there is one.
func (g *gossipNodes) start(_ context.Context, r *request) (answer, error) {
	started := []answer{}
	for range max(r.Count, 1) {
		node, err := newGossipNode(r)
		if err != nil {
			return nil, err
		}
		g.mu.Lock()
		number := len(g.nodes)
		g.nodes = append(g.nodes, node)
		g.mu.Unlock()
		if r.Topic != "" {
			if _, err := node.topic(r.Topic); err != nil {
				return nil, err
			}
		}
		addresses, err := peer.AddrInfoToP2pAddrs(host.InfoFromHost(node.host))
		if err != nil {
			return nil, err
		}
		started = append(started, answer{"node": number, "peer_id": node.host.ID().String(), "addresses": texts(addresses)})
	}
	return answer{"nodes": started}, nil
}

func newGossipNode(r *request) (*gossipNode, error) {
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
	ctx, cancel := context.WithCancel(context.Background())
	node := &gossipNode{host: h, end: cancel, slow: time.Duration(r.Slow * float64(time.Second)), topics: map[string]*gossipTopic{}}
	node.protocols, node.latest, node.held = map[peer.ID]protocol.ID{}, map[string]float64{}, map[string]*grudge{}
	node.pubsub, err = newPubsub(ctx, node, r)
	if err != nil {
		cancel()
		h.Close()
	}
	return node, err
}

func newPubsub(ctx context.Context, node *gossipNode, r *request) (*pubsub.PubSub, error) {
	opts := []pubsub.Option{
		pubsub.WithRawTracer(&node.gossipTrace), pubsub.WithPeerOutboundQueueSize(patience),
		pubsub.WithValidateQueueSize(patience), pubsub.WithValidateThrottle(2 * patience),
	}
	if r.Unsigned {
		opts = append(opts, pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithNoAuthor())
	}
	switch r.Ids {
	case "":
	case "content":
		opts = append(opts, pubsub.WithMessageIdFn(contentID))
	default:
		return nil, badRequest("unknown ids %q", r.Ids)
	}
	if len(r.Protocols) == 1 && r.Protocols[0] == string(pubsub.FloodSubID) {
		return pubsub.NewFloodSub(ctx, node.host, opts...)
	}
	if r.Exchange {
		opts = append(opts, pubsub.WithPeerExchange(true))
	}
	if len(r.Protocols) > 0 {
		opts = append(opts, pubsub.WithGossipSubProtocols(protocol.ConvertFromStrings(r.Protocols), pubsub.GossipSubDefaultFeatures))
	}
	opts = append(opts, pubsub.WithGossipSubParams(routerParams(r)))
	if r.Scoring {
		opts = append(opts, pubsub.WithPeerScore(scoreParams()), pubsub.WithPeerScoreInspect(node.inspect, 100*time.Millisecond))
	}
	return pubsub.NewGossipSub(ctx, node.host, opts...)
}

// contentID is the same for the same data, on every implementation: the defaults differ.
func contentID(message *pb.Message) string {
	digest := sha256.Sum256(message.GetData())
	return string(digest[:idSize])
}

func routerParams(r *request) pubsub.GossipSubParams {
	params := pubsub.DefaultGossipSubParams()
	if r.Degree != nil && *r.Degree == 0 {
		params.D, params.Dlo, params.Dhi, params.Dout, params.Dscore = 0, 0, 0, 0, 0
	}
	if r.Heartbeat > 0 {
		params.HeartbeatInterval = time.Duration(r.Heartbeat * float64(time.Second))
	}
	return params
}

// scoreParams are those of every implementation here: whoever does nothing wrong, and brings some messages, never falls below 0.
func scoreParams() (*pubsub.PeerScoreParams, *pubsub.PeerScoreThresholds) {
	_, loopback, _ := net.ParseCIDR("127.0.0.0/8")
	return &pubsub.PeerScoreParams{
			Topics: map[string]*pubsub.TopicScoreParams{scoredTopic: {
				TopicWeight:      1,
				TimeInMeshWeight: 0.01, TimeInMeshQuantum: time.Second, TimeInMeshCap: 100,
				FirstMessageDeliveriesWeight: 0.1, FirstMessageDeliveriesDecay: 0.9, FirstMessageDeliveriesCap: 10,
				MeshMessageDeliveriesWeight: -1, MeshMessageDeliveriesDecay: 0.9, MeshMessageDeliveriesCap: 50,
				MeshMessageDeliveriesThreshold: 2, MeshMessageDeliveriesWindow: 2 * time.Second, MeshMessageDeliveriesActivation: 10 * time.Second,
				MeshFailurePenaltyWeight: -1, MeshFailurePenaltyDecay: 0.9,
				InvalidMessageDeliveriesWeight: -10, InvalidMessageDeliveriesDecay: 0.9,
			}},
			AppSpecificScore:         func(peer.ID) float64 { return 0 },
			IPColocationFactorWeight: -5, IPColocationFactorThreshold: 10, IPColocationFactorWhitelist: []*net.IPNet{loopback},
			BehaviourPenaltyWeight: -10, BehaviourPenaltyThreshold: 0, BehaviourPenaltyDecay: 0.99,
			DecayInterval: time.Second, DecayToZero: 0.01, RetainScore: time.Minute,
		}, &pubsub.PeerScoreThresholds{
			GossipThreshold: -10, PublishThreshold: -50, GraylistThreshold: -80, AcceptPXThreshold: 0, OpportunisticGraftThreshold: 0,
		}
}

func (g *gossipNodes) connect(ctx context.Context, r *request) (answer, error) {
	node, err := g.get(r.Node)
	if err != nil {
		return nil, err
	}
	for _, address := range r.Addresses {
		info, err := peer.AddrInfoFromString(address)
		if err != nil {
			return nil, badRequest("address: %v", err)
		}
		if err := node.host.Connect(ctx, *info); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (g *gossipNodes) connected(_ context.Context, r *request) (answer, error) {
	node, err := g.get(r.Node)
	if err != nil {
		return nil, err
	}
	return answer{"peers": texts(node.host.Network().Peers())}, nil
}

// resetStreams resets every stream of gossip that a node has, of both directions.
func (g *gossipNodes) resetStreams(_ context.Context, r *request) (answer, error) {
	node, err := g.get(r.Node)
	if err != nil {
		return nil, err
	}
	count := 0
	for _, connection := range node.host.Network().Conns() {
		for _, stream := range connection.GetStreams() {
			if strings.HasPrefix(string(stream.Protocol()), "/meshsub/") || stream.Protocol() == pubsub.FloodSubID {
				stream.Reset()
				count++
			}
		}
	}
	return answer{"count": count}, nil
}

// gossipTopic is a topic of a node, and how often each message of it came.
type gossipTopic struct {
	topic    *pubsub.Topic
	leave    func()
	mu       sync.Mutex
	seen     map[uint64]int
	repeated int
	wrong    int
	changed  chan struct{} // closed and replaced at each new message
}

// topic subscribes to it, unless the node has already.
func (n *gossipNode) topic(name string) (*gossipTopic, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := n.topics[name]; known != nil {
		return known, nil
	}
	if n.slow > 0 {
		wait := func(context.Context, peer.ID, *pubsub.Message) bool { time.Sleep(n.slow); return true }
		if err := n.pubsub.RegisterTopicValidator(name, wait); err != nil {
			return nil, err
		}
	}
	joined, err := n.pubsub.Join(name)
	if err != nil {
		return nil, err
	}
	subscription, err := joined.Subscribe(pubsub.WithBufferSize(patience))
	if err != nil {
		return nil, err
	}
	topic := &gossipTopic{topic: joined, leave: subscription.Cancel, seen: map[uint64]int{}, changed: make(chan struct{})}
	n.topics[name] = topic
	go func() {
		for {
			message, err := subscription.Next(context.Background())
			if err != nil {
				return
			}
			topic.take(message.Data)
		}
	}()
	return topic, nil
}

// take counts a message, which begins with its tag and number, and goes on with the pattern.
func (t *gossipTopic) take(data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !isRight(data) {
		t.wrong++
		return
	}
	key := binary.BigEndian.Uint64(data)
	t.seen[key]++
	if t.seen[key] > 1 {
		t.repeated++
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// state is how many messages there were, and what tells of the next.
func (t *gossipTopic) state() (int, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.seen), t.changed
}

func (t *gossipTopic) wait(ctx context.Context, count int) error {
	for {
		have, changed := t.state()
		if have >= count {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), badRequest("%d of %d messages", have, count))
		}
	}
}
