package main

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strconv"
)

// period is prime, so that a block lost, doubled or swapped at any usual buffer size shows in the checksum.
const period = 65521

// pattern is one period of the payload, twice over: every slice of up to one period can be taken without wrapping.
var pattern = func() []byte {
	var block []byte
	for i := 0; len(block) < period; i++ {
		digest := sha256.Sum256([]byte(strconv.Itoa(i)))
		block = append(block, digest[:]...)
	}
	block = block[:period:period]
	return append(block, block...)
}()

// payload returns up to limit bytes of the pattern that stand at offset.
func payload(offset, limit int64) []byte {
	start := offset % period
	return pattern[start : start+min(limit, period)]
}

// checksum is a running SHA-256 with its length.
type checksum struct {
	hash.Hash
	size int64
}

func newChecksum() *checksum { return &checksum{Hash: sha256.New()} }

func (c *checksum) Write(p []byte) (int, error) {
	c.size += int64(len(p))
	return c.Hash.Write(p)
}

func (c *checksum) hex() string { return hex.EncodeToString(c.Sum(nil)) }
