package testserver

import (
	"bytes"
	"crypto/rand"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"time"
)

func TestBacklog(t *testing.T) {
	data := make([]byte, 20<<20)
	rand.Read(data)
	b := newPieceQueue(maxBlocks)
	origin := time.Now()
	var got []byte
	var last time.Time
	pieces := 0
	take := func() {
		for p, at := b.next(); p != nil; p, at = b.next() {
			if at != last {
				pieces++
				if sent := int(at.Sub(origin)); sent != len(got) {
					t.Errorf("byte %d has the time of byte %d", len(got), sent)
				}
			}
			last = at
			n := 1 + mathrand.IntN(len(p))
			got = append(got, p[:n]...)
			b.done(n)
		}
	}
	var taking sync.WaitGroup
	for rest := data; len(rest) > 0; {
		room := b.reserve()
		n := copy(room[:1+mathrand.IntN(len(room))], rest)
		sent := len(data) - len(rest)
		if b.commit(n, origin.Add(time.Duration(sent))) {
			taking.Go(take)
		}
		rest = rest[n:]
	}
	taking.Wait()
	if !bytes.Equal(got, data) {
		t.Error("other bytes came out")
	}
	if pieces < len(data)/blockSize {
		t.Errorf("%d pieces", pieces)
	}
	if b.count != 0 || b.head != nil || b.tail != nil {
		t.Errorf("%d blocks are left", b.count)
	}
}

// TestBacklogIsBounded: a writer gets no more than maxBlocks ahead.
func TestBacklogIsBounded(t *testing.T) {
	b := newPieceQueue(maxBlocks)
	for range maxBlocks {
		b.commit(len(b.reserve()), time.Time{})
	}
	free := make(chan struct{})
	go func() {
		b.reserve()
		close(free)
		b.commit(0, time.Time{})
	}()
	select {
	case <-free:
		t.Error("room beyond the bound")
	default:
	}
	p, _ := b.next()
	b.done(len(p))
	<-free
	for p, _ := b.next(); p != nil; p, _ = b.next() {
		b.done(len(p))
	}
}

// TestBacklogOfSmallMessages: a block takes no more pieces than it has room for.
func TestBacklogOfSmallMessages(t *testing.T) {
	b := newPieceQueue(maxBlocks)
	const n = 3*maxPieces + 1
	for i := range n {
		b.reserve()[0] = 'x'
		b.commit(1, time.Unix(int64(i), 0))
	}
	if b.count != 4 {
		t.Errorf("%d blocks", b.count)
	}
	got := 0
	for p, _ := b.next(); p != nil; p, _ = b.next() {
		got += len(p)
		b.done(len(p))
	}
	if got != n || b.count != 0 {
		t.Errorf("%d bytes of %d came out, %d blocks are left", got, n, b.count)
	}
}
