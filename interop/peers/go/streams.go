package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// heldStream is one stream that the runner steers; payload goes on where the last write ended.
type heldStream struct {
	network.Stream
	in            *bufio.Reader
	written, seen atomic.Int64
}

// heldStreams numbers the steered streams, outbound and inbound alike, in the order they came.
type heldStreams struct {
	mu     sync.Mutex
	last   int64
	byID   map[int64]*heldStream
	queued chan int64 // inbound ones that no accept has taken yet
}

func newHeldStreams() *heldStreams {
	return &heldStreams{byID: map[int64]*heldStream{}, queued: make(chan int64, 4096)}
}

func (t *heldStreams) add(s network.Stream) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.byID[t.last] = &heldStream{Stream: s, in: bufio.NewReaderSize(s, 16)} // small: reads of any size go past it
	return t.last
}

func (t *heldStreams) arrived(s network.Stream) {
	select {
	case t.queued <- t.add(s):
	default:
		s.Reset()
	}
}

func (t *heldStreams) get(r *request) (*heldStream, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, known := t.byID[r.Stream]
	if !known {
		return nil, badRequest("no stream %d", r.Stream)
	}
	return s, nil
}

func (p *peerProgram) open(ctx context.Context, r *request) (answer, error) {
	h, id, err := p.target(r)
	if err != nil {
		return nil, err
	}
	s, err := h.NewStream(network.WithNoDial(ctx, "interop"), id, protocol.ID(r.Protocol))
	if err != nil {
		return nil, err
	}
	return answer{"stream": p.streams.add(s), "protocol": string(s.Protocol())}, nil
}

func (p *peerProgram) accept(ctx context.Context, _ *request) (answer, error) {
	select {
	case id := <-p.streams.queued:
		s, err := p.streams.get(&request{Stream: id})
		if err != nil {
			return nil, err
		}
		return answer{"stream": id, "peer": s.Conn().RemotePeer().String(), "protocol": string(s.Protocol())}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// steer runs an action on the named stream under the request's deadline.
func (p *peerProgram) steer(ctx context.Context, r *request, act func(*heldStream) (answer, error)) (answer, error) {
	s, err := p.streams.get(r)
	if err != nil {
		return nil, err
	}
	release := context.AfterFunc(ctx, func() { s.SetDeadline(time.Unix(1, 0)) })
	defer release()
	return act(s)
}

func (s *heldStream) send(size int64, block int) error {
	for end := s.written.Load() + size; s.written.Load() < end; {
		n, err := s.Write(payload(s.written.Load(), min(end-s.written.Load(), int64(block))))
		s.written.Add(int64(n))
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *peerProgram) write(ctx context.Context, r *request) (answer, error) {
	return p.steer(ctx, r, func(s *heldStream) (answer, error) {
		err := s.send(r.Size, r.block())
		return answer{"written": s.written.Load()}, err
	})
}

// read takes size bytes, or up to the end if the stream ends before.
func (p *peerProgram) read(ctx context.Context, r *request) (answer, error) {
	return p.steer(ctx, r, func(s *heldStream) (answer, error) {
		sum := newChecksum()
		buffer := make([]byte, r.block())
		for sum.size < r.Size {
			n, err := s.in.Read(buffer[:min(r.Size-sum.size, int64(len(buffer)))])
			sum.Write(buffer[:n])
			s.seen.Add(int64(n))
			if errors.Is(err, io.EOF) {
				return answer{"size": sum.size, "sha256": sum.hex(), "ended": true}, nil
			}
			if err != nil {
				return nil, err
			}
		}
		return answer{"size": sum.size, "sha256": sum.hex(), "ended": false}, nil
	})
}

// writeMessage sends the next size bytes of the payload as one varint-framed message, in one write.
func (p *peerProgram) writeMessage(ctx context.Context, r *request) (answer, error) {
	return p.steer(ctx, r, func(s *heldStream) (answer, error) {
		message := binary.AppendUvarint(nil, uint64(r.Size))
		start := s.written.Load()
		for offset := start; offset < start+r.Size; {
			part := payload(offset, start+r.Size-offset)
			message = append(message, part...)
			offset += int64(len(part))
		}
		if _, err := s.Write(message); err != nil {
			return nil, err
		}
		return answer{"written": s.written.Add(r.Size)}, nil
	})
}

func (p *peerProgram) readMessage(ctx context.Context, r *request) (answer, error) {
	return p.steer(ctx, r, func(s *heldStream) (answer, error) {
		size, err := binary.ReadUvarint(s.in)
		if err != nil {
			return nil, err
		}
		if size > messageMaximum {
			return nil, errors.New("message too large")
		}
		message := make([]byte, size)
		if _, err := io.ReadFull(s.in, message); err != nil {
			return nil, err
		}
		sum := newChecksum()
		sum.Write(message)
		s.seen.Add(sum.size)
		return answer{"size": sum.size, "sha256": sum.hex()}, nil
	})
}

func (p *peerProgram) progress(ctx context.Context, r *request) (answer, error) {
	return p.steer(ctx, r, func(s *heldStream) (answer, error) {
		return answer{"written": s.written.Load(), "read": s.seen.Load()}, nil
	})
}

func (p *peerProgram) closeWrite(ctx context.Context, r *request) (answer, error) {
	return p.steer(ctx, r, func(s *heldStream) (answer, error) { return nil, s.CloseWrite() })
}

func (p *peerProgram) close(ctx context.Context, r *request) (answer, error) {
	return p.steer(ctx, r, func(s *heldStream) (answer, error) { return nil, s.Close() })
}

func (p *peerProgram) reset(ctx context.Context, r *request) (answer, error) {
	return p.steer(ctx, r, func(s *heldStream) (answer, error) {
		return nil, s.ResetWithError(network.StreamErrorCode(r.Code))
	})
}

func (r *request) block() int {
	if r.Block <= 0 {
		return defaultBlock
	}
	return min(r.Block, period)
}
