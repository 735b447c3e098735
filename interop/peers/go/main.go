// Command go-peer is the go-libp2p side of the interop harness: a node steered by JSON lines on stdin and stdout.
//
// The control protocol is documented in interop/README.md. Requests run concurrently; answers carry the request's id.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// request has the fields of all operations; each operation reads its own.
type request struct {
	ID      int64   `json:"id"`
	Op      string  `json:"op"`
	Timeout float64 `json:"timeout"` // seconds for the whole operation, 60 if absent

	// start
	KeyType    string   `json:"key_type"`
	Listen     []string `json:"listen"`
	Security   []string `json:"security"`
	Muxers     []string `json:"muxers"`
	EarlyMuxer *bool    `json:"early_muxer"`
	Limits     string   `json:"limits"`

	// everything else
	Address  string `json:"address"`
	Peer     string `json:"peer"`
	Protocol string `json:"protocol"`
	Stream   int64  `json:"stream"`
	Code     uint32 `json:"code"`
	Size     int64  `json:"size"`
	Block    int    `json:"block"`
	Count    int    `json:"count"`
	AtOnce   int    `json:"at_once"`
	Upload   int64  `json:"upload"`
	Download int64  `json:"download"`

	// the DHT
	Node       int      `json:"node"`
	Seed       string   `json:"seed"`
	Prefix     string   `json:"prefix"`
	Mode       string   `json:"mode"`
	Dual       bool     `json:"dual"`
	K          int      `json:"k"`
	Validators []string `json:"validators"`
	Key        string   `json:"key"`
	Value      string   `json:"value"`
	Quorum     int      `json:"quorum"`
	Namespace  string   `json:"namespace"`
	Path       string   `json:"path"`
	Sequence   uint64   `json:"sequence"`
	Cid        string   `json:"cid"`
	Peers      []string `json:"peers"`
	Addresses  []string `json:"addresses"`

	// mDNS
	Service string `json:"service"`

	gossipRequest
}

// answer is the body of a successful response.
type answer = map[string]any

type operation func(ctx context.Context, r *request) (answer, error)

// control writes whole lines only: answers of concurrent operations must not mix.
type control struct {
	mu  sync.Mutex
	out *bufio.Writer
}

func (c *control) send(body answer) {
	line, err := json.Marshal(body)
	if err != nil {
		line = fmt.Appendf(nil, `{"id":%v,"ok":false,"kind":"failed","error":"the answer has no JSON form"}`, body["id"])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.Write(append(line, '\n'))
	c.out.Flush()
}

func (c *control) run(r *request, op operation) {
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout())
	defer cancel()
	body, err := op(ctx, r)
	if err != nil {
		c.send(failure(r.ID, err))
		return
	}
	if body == nil {
		body = answer{}
	}
	body["id"], body["ok"] = r.ID, true
	c.send(body)
}

func main() {
	control := &control{out: bufio.NewWriter(os.Stdout)}
	peer := newPeer()
	operations := peer.operations()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r := &request{}
		if err := json.Unmarshal(lines.Bytes(), r); err != nil {
			control.send(failure(r.ID, badRequest("not a request: %v", err)))
			continue
		}
		if r.Op == "stop" {
			control.run(r, peer.stop)
			return
		}
		op, known := operations[r.Op]
		if !known {
			control.send(failure(r.ID, badRequest("unknown operation %q", r.Op)))
			continue
		}
		go control.run(r, op)
	}
	peer.stop(context.Background(), &request{}) // stdin ended: the runner is gone, nobody is left to tell
}
