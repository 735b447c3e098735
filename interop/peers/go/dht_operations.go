package main

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/discovery"
	"github.com/libp2p/go-libp2p/core/peer"
	drouting "github.com/libp2p/go-libp2p/p2p/discovery/routing"
)

func (d *dhtNodes) operations() map[string]operation {
	return map[string]operation{
		"dht_start": d.start, "dht_stop": d.end, "dht_connect": d.connect, "dht_peers": d.peers, "dht_refresh": d.refresh,
		"dht_find_peer": d.findPeer, "dht_closest": d.closest, "dht_put": d.put, "dht_get": d.value, "dht_record": d.record,
		"dht_provide": d.provide, "dht_find_providers": d.findProviders, "dht_advertise": d.advertise, "dht_discover": d.discover,
		"dht_fill": d.fill, "dht_find_nodes": d.findNodes, "dht_lookups": d.lookups,
	}
}

func found(infos ...peer.AddrInfo) []answer {
	out := make([]answer, 0, len(infos))
	for _, info := range infos {
		out = append(out, answer{"peer_id": info.ID.String(), "addresses": texts(info.Addrs)})
	}
	return out
}

func (d *dhtNodes) findPeer(ctx context.Context, r *request) (answer, error) {
	node, err := d.get(r.Node)
	if err != nil {
		return nil, err
	}
	id, err := peer.Decode(r.Peer)
	if err != nil {
		return nil, badRequest("peer: %v", err)
	}
	info, err := node.routing.FindPeer(ctx, id)
	return answer{"addresses": texts(info.Addrs)}, err
}

// bytesOf reads the hexadecimal fields of a request.
func bytesOf(text string) ([]byte, error) {
	data, err := hex.DecodeString(text)
	if err != nil {
		return nil, badRequest("hex: %v", err)
	}
	return data, nil
}

func (d *dhtNodes) closest(ctx context.Context, r *request) (answer, error) {
	node, err := d.get(r.Node)
	if err != nil {
		return nil, err
	}
	key, err := bytesOf(r.Key)
	if err != nil {
		return nil, err
	}
	peers, err := node.table.GetClosestPeers(ctx, string(key))
	return answer{"peers": texts(peers)}, err
}

func (d *dhtNodes) put(ctx context.Context, r *request) (answer, error) {
	node, err := d.get(r.Node)
	if err != nil {
		return nil, err
	}
	key, err := bytesOf(r.Key)
	if err != nil {
		return nil, err
	}
	value, err := bytesOf(r.Value)
	if err != nil {
		return nil, err
	}
	return nil, node.routing.PutValue(ctx, string(key), value)
}

func (d *dhtNodes) value(ctx context.Context, r *request) (answer, error) {
	node, err := d.get(r.Node)
	if err != nil {
		return nil, err
	}
	key, err := bytesOf(r.Key)
	if err != nil {
		return nil, err
	}
	value, err := node.routing.GetValue(ctx, string(key), dht.Quorum(r.Quorum))
	return answer{"value": hex.EncodeToString(value)}, err
}

// record makes a record in the node's own name, and stores it nowhere.
func (d *dhtNodes) record(_ context.Context, r *request) (answer, error) {
	node, err := d.get(r.Node)
	if err != nil {
		return nil, err
	}
	id := node.host.ID()
	key := node.host.Peerstore().PrivKey(id)
	var value []byte
	switch r.Namespace {
	case "pk":
		value, err = crypto.MarshalPublicKey(key.GetPublic())
	case "ipns":
		value, err = ipnsRecord(key, r)
	default:
		err = badRequest("no records of the namespace %q", r.Namespace)
	}
	name := append([]byte("/"+r.Namespace+"/"), id...)
	return answer{"key": hex.EncodeToString(name), "value": hex.EncodeToString(value)}, err
}

func ipnsRecord(key crypto.PrivKey, r *request) ([]byte, error) {
	target, err := path.NewPath(r.Path)
	if err != nil {
		return nil, badRequest("path: %v", err)
	}
	record, err := ipns.NewRecord(key, target, r.Sequence, time.Now().Add(time.Hour), time.Minute)
	if err != nil {
		return nil, err
	}
	return ipns.MarshalRecord(record)
}

func (d *dhtNodes) content(r *request) (*dhtNode, cid.Cid, error) {
	node, err := d.get(r.Node)
	if err != nil {
		return nil, cid.Undef, err
	}
	content, err := cid.Decode(r.Cid)
	if err != nil {
		return nil, cid.Undef, badRequest("cid: %v", err)
	}
	return node, content, nil
}

func (d *dhtNodes) provide(ctx context.Context, r *request) (answer, error) {
	node, content, err := d.content(r)
	if err != nil {
		return nil, err
	}
	return nil, node.routing.Provide(ctx, content, true)
}

func (d *dhtNodes) findProviders(ctx context.Context, r *request) (answer, error) {
	node, content, err := d.content(r)
	if err != nil {
		return nil, err
	}
	infos := []peer.AddrInfo{}
	for info := range node.routing.FindProvidersAsync(ctx, content, r.Count) {
		infos = append(infos, info)
	}
	return answer{"found": found(infos...)}, ctx.Err()
}

func (d *dhtNodes) advertise(ctx context.Context, r *request) (answer, error) {
	node, err := d.get(r.Node)
	if err != nil {
		return nil, err
	}
	_, err = drouting.NewRoutingDiscovery(node.routing).Advertise(ctx, r.Namespace)
	return nil, err
}

func (d *dhtNodes) discover(ctx context.Context, r *request) (answer, error) {
	node, err := d.get(r.Node)
	if err != nil {
		return nil, err
	}
	peers, err := drouting.NewRoutingDiscovery(node.routing).FindPeers(ctx, r.Namespace, discovery.Limit(r.Count))
	if err != nil {
		return nil, err
	}
	infos := []peer.AddrInfo{}
	for info := range peers {
		infos = append(infos, info)
	}
	return answer{"found": found(infos...)}, ctx.Err()
}
