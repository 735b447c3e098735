package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// withStream opens a stream for the time of one action; an error or the deadline resets it.
func withStream(ctx context.Context, h host.Host, id peer.ID, name protocol.ID, act func(network.Stream) error) error {
	s, err := h.NewStream(network.WithNoDial(ctx, "interop"), id, name)
	if err != nil {
		return err
	}
	release := context.AfterFunc(ctx, func() { s.SetDeadline(time.Unix(1, 0)) })
	defer release()
	if err := act(s); err != nil {
		s.Reset()
		return err
	}
	return s.Close()
}

// echo sends size bytes and reads them back at the same time, with a checksum of each direction.
func (p *peerProgram) echo(ctx context.Context, r *request) (answer, error) {
	h, id, err := p.target(r)
	if err != nil {
		return nil, err
	}
	sent, received := newChecksum(), newChecksum()
	begin := time.Now()
	err = withStream(ctx, h, id, echoProtocol, func(s network.Stream) error {
		writing := make(chan error, 1)
		go func() {
			held := &heldStream{Stream: s}
			for sent.size < r.Size {
				part := payload(sent.size, min(r.Size-sent.size, int64(r.block())))
				sent.Write(part)
				if err := held.send(int64(len(part)), len(part)); err != nil {
					writing <- err
					return
				}
			}
			writing <- s.CloseWrite()
		}()
		_, reading := io.CopyBuffer(received, s, make([]byte, r.block()))
		if reading != nil {
			s.Reset() // ends the writer as well
		}
		return errors.Join(reading, <-writing)
	})
	return answer{
		"sent": sent.size, "received": received.size, "sha256_sent": sent.hex(), "sha256_received": received.hex(),
		"seconds": time.Since(begin).Seconds(),
	}, err
}

// manyStreams opens count echo streams in rounds of atOnce; in each round all are open and answered before any is closed.
func (p *peerProgram) manyStreams(ctx context.Context, r *request) (answer, error) {
	h, id, err := p.target(r)
	if err != nil {
		return nil, err
	}
	begin, done, rounds := time.Now(), 0, 0
	for done < r.Count {
		round := min(r.Count-done, max(r.AtOnce, 1))
		if err := streamRound(ctx, h, id, round, r.Size); err != nil {
			return nil, err
		}
		done += round
		rounds++
	}
	return answer{"count": done, "rounds": rounds, "seconds": time.Since(begin).Seconds()}, nil
}

func streamRound(ctx context.Context, h host.Host, id peer.ID, count int, size int64) error {
	var answered, finished sync.WaitGroup
	answered.Add(count)
	failures := make(chan error, count)
	for range count {
		finished.Go(func() {
			arrive := sync.OnceFunc(answered.Done)
			defer arrive() // a failed stream must not keep the others waiting
			failures <- withStream(ctx, h, id, echoProtocol, func(s network.Stream) error {
				if err := exchange(s, payload(0, size)); err != nil {
					return err
				}
				arrive()
				answered.Wait()
				return finish(s)
			})
		})
	}
	finished.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}

// exchange sends a block to an echo stream and reads it back.
func exchange(s network.Stream, block []byte) error {
	if _, err := s.Write(block); err != nil {
		return err
	}
	_, err := io.ReadFull(s, make([]byte, len(block)))
	return err
}

// finish closes the write side and reads to the end, which must be there at once.
func finish(s network.Stream) error {
	if err := s.CloseWrite(); err != nil {
		return err
	}
	rest, err := io.ReadAll(s)
	if err == nil && len(rest) > 0 {
		return badRequest("%d bytes more than were sent", len(rest))
	}
	return err
}

// perf is the client of /perf/1.0.0: upload bytes there, download bytes back, measured up to the end of the stream.
func (p *peerProgram) perf(ctx context.Context, r *request) (answer, error) {
	h, id, err := p.target(r)
	if err != nil {
		return nil, err
	}
	received := int64(0)
	begin := time.Now()
	err = withStream(ctx, h, id, perfProtocol, func(s network.Stream) error {
		if _, err := s.Write(binary.BigEndian.AppendUint64(nil, uint64(r.Download))); err != nil {
			return err
		}
		if err := zeros(s, r.Upload, r.block()); err != nil {
			return err
		}
		if err := s.CloseWrite(); err != nil {
			return err
		}
		n, err := io.CopyBuffer(writeOnly{io.Discard}, s, make([]byte, 4*defaultBlock))
		received = n
		return err
	})
	return answer{"received": received, "seconds": time.Since(begin).Seconds()}, err
}
