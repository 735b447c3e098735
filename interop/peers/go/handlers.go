package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	echoProtocol     protocol.ID = "/interop/echo/1.0.0"
	holdProtocol     protocol.ID = "/interop/hold/1.0.0"
	messagesProtocol protocol.ID = "/interop/messages/1.0.0"
	perfProtocol     protocol.ID = "/perf/1.0.0"

	defaultBlock   = 64 << 10
	messageMaximum = 64 << 20
)

// handle registers the server's side of every operation.
func handle(h host.Host, held *heldStreams) {
	h.SetStreamHandler(echoProtocol, serve(echoHandler))
	h.SetStreamHandler(messagesProtocol, serve(messagesHandler))
	h.SetStreamHandler(perfProtocol, serve(perfHandler))
	h.SetStreamHandler(holdProtocol, held.arrived)
}

// handleLate adds an echo handler under another name to a running node, which go-libp2p announces by identify push.
func (p *peerProgram) handleLate(_ context.Context, r *request) (answer, error) {
	h, err := p.node()
	if err != nil {
		return nil, err
	}
	h.SetStreamHandler(protocol.ID(r.Protocol), serve(echoHandler))
	return nil, nil
}

// serve closes the stream after a handler that went well and resets it after any other.
func serve(handler func(network.Stream) error) network.StreamHandler {
	return func(s network.Stream) {
		if err := handler(s); err != nil {
			s.Reset()
			return
		}
		s.Close()
	}
}

func echoHandler(s network.Stream) error {
	_, err := io.CopyBuffer(writeOnly{s}, s, make([]byte, defaultBlock))
	return err
}

// writeOnly hides ReadFrom, so that io.CopyBuffer uses the buffer it is given.
type writeOnly struct{ io.Writer }

// messagesHandler counts varint-framed messages up to the end and answers with their number, eight bytes big-endian.
func messagesHandler(s network.Stream) error {
	in := bufio.NewReaderSize(s, defaultBlock)
	count := uint64(0)
	for {
		size, err := binary.ReadUvarint(in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if size > messageMaximum {
			return errors.New("message too large")
		}
		if _, err := in.Discard(int(size)); err != nil {
			return err
		}
		count++
	}
	_, err := s.Write(binary.BigEndian.AppendUint64(nil, count))
	return err
}

// perfHandler is the server of /perf/1.0.0: how much is wanted, everything that is sent thrown away, then what was wanted.
func perfHandler(s network.Stream) error {
	var wanted [8]byte
	if _, err := io.ReadFull(s, wanted[:]); err != nil {
		return err
	}
	if err := discard(s); err != nil {
		return err
	}
	return zeros(s, int64(min(binary.BigEndian.Uint64(wanted[:]), 1<<62)), defaultBlock)
}

func discard(r io.Reader) error {
	_, err := io.CopyBuffer(writeOnly{io.Discard}, r, make([]byte, 4*defaultBlock))
	return err
}

func zeros(w io.Writer, size int64, block int) error {
	buffer := make([]byte, block)
	for size > 0 {
		n, err := w.Write(buffer[:min(size, int64(block))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}
