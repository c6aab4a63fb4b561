package stream

import "time"

// lossless delivers every byte: input waits while the buffer is full. With atLeastOnce, chunks are kept until they are
// confirmed, so that they can be delivered again.
type lossless struct {
	fifo        *fifo
	account     *Account
	buffer      int64
	longest     int // of a merged chunk
	atLeastOnce bool
}

func (l *lossless) accepts(Kind) bool { return true }

func (l *lossless) hasRoom(n int) bool {
	return l.fifo.size == 0 || l.fifo.size+int64(n) <= l.buffer
}

func (l *lossless) put(c Chunk) { l.fifo.push(&c, gap{}, l.longest) }

func (l *lossless) take() (Delivery, error) {
	if len(l.fifo.waiting()) == 0 {
		return Delivery{}, ErrEmpty
	}
	if !l.atLeastOnce {
		e := l.fifo.pop()
		return e.delivery(), nil // with the entry's reference
	}
	e := l.fifo.keep()
	e.Retain()
	return e.delivery(), nil
}

func (l *lossless) confirmed(n int64) {
	for l.atLeastOnce && n > 0 {
		e := l.fifo.pop()
		n -= int64(len(e.Data))
		e.Release()
	}
}

// requeue makes n unconfirmed bytes wait again, or counts them as lost.
func (l *lossless) requeue(n int64) {
	if !l.atLeastOnce {
		l.account.dropUnconfirmed(Lost, l.fifo.settle(n))
		return
	}
	l.account.requeue(l.fifo.untake(n))
	l.fifo.rewind()
}

func (l *lossless) expire(time.Time) {}

func (l *lossless) firstSeq() uint64 { return l.fifo.firstSeq() }

func (l *lossless) clear() { l.fifo.clear() }
