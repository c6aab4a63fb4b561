package testserver

import (
	"bytes"
	"crypto/rand"
	mathrand "math/rand/v2"
	"testing"
)

func TestBacklog(t *testing.T) {
	data := make([]byte, 20<<20)
	rand.Read(data)
	b := newBacklog()
	go func() {
		for rest := data; len(rest) > 0; {
			room := b.reserve()
			n := copy(room[:1+mathrand.IntN(len(room))], rest)
			b.commit(n)
			rest = rest[n:]
		}
		b.end()
	}()
	var got []byte
	for p := b.next(); p != nil; p = b.next() {
		n := 1 + mathrand.IntN(len(p))
		got = append(got, p[:n]...)
		b.done(n)
	}
	if !bytes.Equal(got, data) {
		t.Error("other bytes came out")
	}
	if b.count != 0 || b.head != nil || b.tail != nil {
		t.Errorf("%d blocks are left", b.count)
	}
}

// TestBacklogIsBounded: a writer gets no more than maxBlocks ahead.
func TestBacklogIsBounded(t *testing.T) {
	b := newBacklog()
	for range maxBlocks {
		b.commit(len(b.reserve()))
	}
	free := make(chan struct{})
	go func() {
		b.reserve()
		close(free)
		b.commit(0)
		b.end()
	}()
	select {
	case <-free:
		t.Error("room beyond the bound")
	default:
	}
	b.done(len(b.next()))
	<-free
	for p := b.next(); p != nil; p = b.next() {
		b.done(len(p))
	}
}
