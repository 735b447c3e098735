package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"math/big"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
)

var keyTypes = map[string]int{"ed25519": crypto.Ed25519, "rsa": crypto.RSA, "ecdsa": crypto.ECDSA, "secp256k1": crypto.Secp256k1}

// peerProgram is this process: one node, the streams its runner steers, the idle hosts it holds for measurements.
type peerProgram struct {
	mu       sync.Mutex
	host     host.Host
	identify *identifications
	streams  *heldStreams
	idle     []host.Host
	dht      dhtNodes
	gossip   gossipNodes
	mdns     mdnsNodes
}

func newPeer() *peerProgram { return &peerProgram{streams: newHeldStreams()} }

func (p *peerProgram) operations() map[string]operation {
	operations := map[string]operation{
		"describe": describe, "start": p.start, "handle": p.handleLate,
		"connect": p.connect, "connection": p.connection, "disconnect": p.disconnect, "peers": p.peers, "identify": p.identified, "ping": p.ping,
		"open": p.open, "accept": p.accept, "write": p.write, "read": p.read, "progress": p.progress,
		"write_message": p.writeMessage, "read_message": p.readMessage,
		"close_write": p.closeWrite, "close": p.close, "reset": p.reset,
		"echo": p.echo, "streams": p.manyStreams, "perf": p.perf,
		"messages": p.messages, "round_trips": p.roundTrips, "requests": p.requests, "dials": p.dials, "idle": p.idleConnections,
		"memory": p.memory,
	}
	maps.Copy(operations, p.dht.operations())
	maps.Copy(operations, p.gossip.operations())
	maps.Copy(operations, p.mdns.operations())
	return operations
}

func (r *request) timeout() time.Duration {
	if r.Timeout <= 0 {
		return time.Minute
	}
	return time.Duration(r.Timeout * float64(time.Second))
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/libp2p/go-libp2p" {
				return module.Version
			}
		}
	}
	return "unknown"
}

func describe(context.Context, *request) (answer, error) {
	return answer{
		"implementation": "go-libp2p", "version": version(), "runtime": runtime.Version(),
		"transports": []string{"tcp", "ws", "wss", "quic-v1"}, "security": []string{"noise", "tls"}, "muxers": []string{yamux.ID},
		"key_types": []string{"ed25519", "secp256k1", "ecdsa", "rsa"}, "early_muxer": true, "reset_codes": true, "services": []string{"dht", "gossip", "mdns"},
		"gossip_topics_end_with_streams": true, "gossip_one_stream_counts": true,
		"mdns_needs_hosts": true,
	}, nil
}

// security builds the option for one secure channel; without early muxer choice Noise sends no extensions at all and
// TLS offers "libp2p" as its only ALPN, so that the muxer is agreed by multistream-select.
func security(name string, early bool) (libp2p.Option, error) {
	switch {
	case name == "noise" && early:
		return libp2p.Security(noise.ID, noise.New), nil
	case name == "noise":
		return libp2p.Security(noise.ID, func(id protocol.ID, key crypto.PrivKey) (*noise.SessionTransport, error) {
			transport, err := noise.New(id, key, nil)
			if err != nil {
				return nil, err
			}
			return transport.WithSessionOptions()
		}), nil
	case name == "tls" && early:
		return libp2p.Security(libp2ptls.ID, libp2ptls.New), nil
	case name == "tls":
		return libp2p.Security(libp2ptls.ID, func(id protocol.ID, key crypto.PrivKey) (*libp2ptls.Transport, error) {
			return libp2ptls.New(id, key, nil)
		}), nil
	}
	return nil, badRequest("unknown security %q", name)
}

// hostCertificate makes what wss listens with, signed by itself.
func hostCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// options say all that this program's nodes have in common: no relay, no NAT mapping, no metrics, nothing trimmed.
func options(r *request) ([]libp2p.Option, error) {
	host, err := hostCertificate()
	if err != nil {
		return nil, err
	}
	opts := []libp2p.Option{
		libp2p.Transport(tcp.NewTCPTransport), libp2p.Transport(quic.NewTransport),
		libp2p.Transport(websocket.New, websocket.WithTLSConfig(&tls.Config{Certificates: []tls.Certificate{host}}),
			websocket.WithTLSClientConfig(&tls.Config{InsecureSkipVerify: true})),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.ConnectionManager(connmgr.NullConnMgr{}), libp2p.UserAgent("go-libp2p/" + version()),
	}
	if r.Limits != "default" {
		opts = append(opts, libp2p.ResourceManager(&network.NullResourceManager{}))
	}
	if len(r.Muxers) > 1 || len(r.Muxers) == 1 && r.Muxers[0] != yamux.ID {
		return nil, badRequest("this peer speaks %s only", yamux.ID)
	}
	names := r.Security
	if len(names) == 0 {
		names = []string{"noise"}
	}
	for _, name := range names {
		opt, err := security(name, r.EarlyMuxer == nil || *r.EarlyMuxer)
		if err != nil {
			return nil, err
		}
		opts = append(opts, opt)
	}
	kind := r.KeyType
	if kind == "" {
		kind = "ed25519"
	}
	number, known := keyTypes[kind]
	if !known {
		return nil, badRequest("unknown key type %q", kind)
	}
	chance := io.Reader(rand.Reader)
	if r.Seed != "" {
		seed, err := bytesOf(r.Seed)
		if err != nil {
			return nil, err
		}
		chance = bytes.NewReader(seed)
	}
	key, _, err := crypto.GenerateKeyPairWithReader(number, 2048, chance)
	if err != nil {
		return nil, err
	}
	return append(opts, libp2p.Identity(key)), nil
}

func (p *peerProgram) start(_ context.Context, r *request) (answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.host != nil {
		return nil, badRequest("started already")
	}
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
	if p.identify, err = watchIdentify(h); err != nil {
		h.Close()
		return nil, err
	}
	handle(h, p.streams)
	p.host = h
	addresses, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: h.ID(), Addrs: h.Network().ListenAddresses()})
	return answer{"peer_id": h.ID().String(), "addresses": texts(addresses)}, err
}

func (p *peerProgram) node() (host.Host, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.host == nil {
		return nil, badRequest("not started")
	}
	return p.host, nil
}

func (p *peerProgram) stop(context.Context, *request) (answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.idle {
		h.Close()
	}
	p.dht.stop()
	p.gossip.stop()
	p.mdns.stop()
	if p.host != nil {
		p.host.Close()
	}
	return nil, nil
}
