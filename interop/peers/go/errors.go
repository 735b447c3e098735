package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	kbucket "github.com/libp2p/go-libp2p-kbucket"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	mss "github.com/multiformats/go-multistream"
)

type requestError string

func (e requestError) Error() string { return string(e) }

func badRequest(format string, args ...any) error { return requestError(fmt.Sprintf(format, args...)) }

// failure names the kind of an error in the words of the control protocol.
func failure(id int64, err error) answer {
	body := answer{"id": id, "ok": false, "error": err.Error()}
	kind, code := kindOf(err)
	body["kind"] = kind
	if kind == "reset" {
		body["code"] = code
	}
	return body
}

func kindOf(err error) (kind string, code uint32) {
	var bad requestError
	var mismatch sec.ErrPeerIDMismatch
	var unsupported mss.ErrNotSupported[protocol.ID]
	var dial *swarm.DialError
	var reset *network.StreamError
	var closed *network.ConnError
	switch {
	case errors.As(err, &bad):
		return "bad_request", 0
	case errors.As(err, &mismatch), errors.Is(err, swarm.ErrDialToSelf):
		return "peer_id_mismatch", 0
	case errors.As(err, &unsupported):
		return "unsupported_protocol", 0
	case errors.As(err, &closed), errors.Is(err, swarm.ErrConnClosed), errors.Is(err, network.ErrNoConn):
		return "connection_closed", 0
	case errors.As(err, &reset):
		return "reset", uint32(reset.ErrorCode)
	case errors.Is(err, network.ErrReset):
		return "reset", 0
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout", 0
	case errors.Is(err, routing.ErrNotFound):
		return "not_found", 0
	case errors.Is(err, kbucket.ErrLookupFailure):
		return "no_peers", 0
	case errors.As(err, &dial):
		return "dial_failed", 0
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "ended", 0
	}
	return "failed", 0
}
