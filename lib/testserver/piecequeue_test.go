package testserver

import (
	"bytes"
	"crypto/rand"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"time"
)

func TestPieceQueue(t *testing.T) {
	data := make([]byte, 20<<20)
	rand.Read(data)
	q := newPieceQueue(maxBlocks)
	origin := time.Now()
	var got []byte
	var last time.Time
	pieces := 0
	take := func() {
		for p, at := q.next(); p != nil; p, at = q.next() {
			if at != last {
				pieces++
				if sent := int(at.Sub(origin)); sent != len(got) {
					t.Errorf("byte %d has the time of byte %d", len(got), sent)
				}
			}
			last = at
			n := 1 + mathrand.IntN(len(p))
			got = append(got, p[:n]...)
			q.done(n)
		}
	}
	var taking sync.WaitGroup
	for rest := data; len(rest) > 0; {
		room := q.reserve()
		n := copy(room[:1+mathrand.IntN(len(room))], rest)
		sent := len(data) - len(rest)
		if q.commit(n, origin.Add(time.Duration(sent))) {
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
	if q.count != 0 || q.head != nil || q.tail != nil {
		t.Errorf("%d blocks are left", q.count)
	}
}

// TestPieceQueueIsBounded: a writer gets at most maxBlocks ahead.
func TestPieceQueueIsBounded(t *testing.T) {
	q := newPieceQueue(maxBlocks)
	for range maxBlocks {
		q.commit(len(q.reserve()), time.Time{})
	}
	free := make(chan struct{})
	go func() {
		q.reserve()
		close(free)
		q.commit(0, time.Time{})
	}()
	select {
	case <-free:
		t.Error("room beyond the bound")
	default:
	}
	p, _ := q.next()
	q.done(len(p))
	<-free
	for p, _ := q.next(); p != nil; p, _ = q.next() {
		q.done(len(p))
	}
}

// TestPieceQueueOfSmallMessages: a full list of pieces makes a block full.
func TestPieceQueueOfSmallMessages(t *testing.T) {
	q := newPieceQueue(maxBlocks)
	const n = 3*maxPieces + 1
	for i := range n {
		q.reserve()[0] = 'x'
		q.commit(1, time.Unix(int64(i), 0))
	}
	if q.count != 4 {
		t.Errorf("%d blocks", q.count)
	}
	got := 0
	for p, _ := q.next(); p != nil; p, _ = q.next() {
		got += len(p)
		q.done(len(p))
	}
	if got != n || q.count != 0 {
		t.Errorf("%d bytes of %d came out, %d blocks are left", got, n, q.count)
	}
}
