package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// messages sends count varint-framed messages, one write each, and waits for the number that arrived.
func (p *peerProgram) messages(ctx context.Context, r *request) (answer, error) {
	h, id, err := p.target(r)
	if err != nil {
		return nil, err
	}
	message := append(binary.AppendUvarint(nil, uint64(r.Size)), payload(0, r.Size)...)
	var acknowledged [8]byte
	begin := time.Now()
	err = withStream(ctx, h, id, messagesProtocol, func(s network.Stream) error {
		for range r.Count {
			if _, err := s.Write(message); err != nil {
				return err
			}
		}
		if err := s.CloseWrite(); err != nil {
			return err
		}
		_, err := io.ReadFull(s, acknowledged[:])
		return err
	})
	return answer{"acknowledged": binary.BigEndian.Uint64(acknowledged[:]), "seconds": time.Since(begin).Seconds()}, err
}

// roundTrips sends count blocks over one echo stream, each after the answer to the one before.
func (p *peerProgram) roundTrips(ctx context.Context, r *request) (answer, error) {
	h, id, err := p.target(r)
	if err != nil {
		return nil, err
	}
	var times []time.Duration
	err = withStream(ctx, h, id, echoProtocol, func(s network.Stream) error {
		times, err = timed(r.Count, func() error { return exchange(s, payload(0, r.Size)) })
		return err
	})
	return percentiles(times), err
}

// requests opens a new echo stream for each of count exchanges, at_once at a time, timed from the opening to the end of the answer.
func (p *peerProgram) requests(ctx context.Context, r *request) (answer, error) {
	h, id, err := p.target(r)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	times, err := timedTogether(r.Count, max(r.AtOnce, 1), func() error {
		return withStream(ctx, h, id, echoProtocol, func(s network.Stream) error {
			if _, err := s.Write(payload(0, r.Size)); err != nil {
				return err
			}
			if err := s.CloseWrite(); err != nil {
				return err
			}
			answer, err := io.ReadAll(s)
			if err == nil && int64(len(answer)) != r.Size {
				return io.ErrUnexpectedEOF
			}
			return err
		})
	})
	took := time.Since(begin)
	result := percentiles(times)
	result["seconds"], result["connections"] = took.Seconds(), len(h.Network().ConnsToPeer(id))
	return result, err
}

// dials connects and closes count times, one after the other, identify included as Connect waits for it.
func (p *peerProgram) dials(ctx context.Context, r *request) (answer, error) {
	h, err := p.node()
	if err != nil {
		return nil, err
	}
	info, err := peer.AddrInfoFromString(r.Address)
	if err != nil {
		return nil, badRequest("address: %v", err)
	}
	times, err := timed(r.Count, func() error {
		if err := h.Connect(ctx, *info); err != nil {
			return err
		}
		return h.Network().ClosePeer(info.ID)
	})
	return percentiles(times), err
}

// idleConnections holds count connections to an address, each from a host with an identity of its own; 0 lets go of them.
func (p *peerProgram) idleConnections(ctx context.Context, r *request) (answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > r.Count {
		p.idle[len(p.idle)-1].Close()
		p.idle = p.idle[:len(p.idle)-1]
	}
	for len(p.idle) < r.Count {
		info, err := peer.AddrInfoFromString(r.Address)
		if err != nil {
			return nil, badRequest("address: %v", err)
		}
		opts, err := options(r)
		if err != nil {
			return nil, err
		}
		h, err := libp2p.New(append(opts, libp2p.NoListenAddrs)...)
		if err != nil {
			return nil, err
		}
		p.idle = append(p.idle, h)
		if err := h.Connect(ctx, *info); err != nil {
			return nil, err
		}
	}
	return answer{"count": len(p.idle)}, nil
}

// memory is the resident set after a collection, as the operating system counts it (Linux only).
func (p *peerProgram) memory(context.Context, *request) (answer, error) {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return answer{"rss": nil}, nil
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return nil, fmt.Errorf("unexpected statm %q", text)
	}
	pages, err := strconv.Atoi(fields[1])
	return answer{"rss": pages * os.Getpagesize()}, err
}

func timed(count int, act func() error) ([]time.Duration, error) {
	times := make([]time.Duration, 0, count)
	for range count {
		begin := time.Now()
		if err := act(); err != nil {
			return times, err
		}
		times = append(times, time.Since(begin))
	}
	return times, nil
}

// timedTogether is timed with atOnce of the count under way at any time.
func timedTogether(count, atOnce int, act func() error) ([]time.Duration, error) {
	type part struct {
		times []time.Duration
		err   error
	}
	parts := make(chan part)
	for worker := range atOnce {
		share := count / atOnce
		if worker < count%atOnce {
			share++
		}
		go func() {
			times, err := timed(share, act)
			parts <- part{times, err}
		}()
	}
	var times []time.Duration
	var failed error
	for range atOnce {
		one := <-parts
		times, failed = append(times, one.times...), cmp.Or(failed, one.err)
	}
	return times, failed
}

// percentiles are in microseconds, of the sorted times at the rank below.
func percentiles(times []time.Duration) answer {
	if len(times) == 0 {
		return answer{"count": 0, "seconds": 0.0}
	}
	total := time.Duration(0)
	for _, t := range times {
		total += t
	}
	slices.Sort(times)
	at := func(share float64) float64 {
		return float64(times[int(share*float64(len(times)-1))].Nanoseconds()) / 1e3
	}
	return answer{"count": len(times), "seconds": total.Seconds(), "p50_us": at(0.50), "p99_us": at(0.99)}
}
