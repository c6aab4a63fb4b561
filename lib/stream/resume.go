package stream

import "github.com/timdrysdale/vw/lib/mpegts"

// How a live queue goes on after a gap.

// prepare makes the first entry ready to be taken: it drops what must not come first, and puts in front what is
// missing.
func (l *live) prepare() {
	for len(l.rewritten) == 0 && len(l.fifo.waiting()) > 0 {
		e := &l.fifo.waiting()[0]
		if l.needKeyframe && !e.RandomAccess {
			if n := e.amount(); l.resync(n) {
				l.leadingGap.join(e.gap)
				l.leadingGap.add(n.bytes, e.Change)
				first := l.fifo.pop()
				first.Release()
				continue
			}
			e.RandomAccess = true
		}
		if l.mustEnd(e) {
			return
		}
		resuming := l.needKeyframe || e.gap.open
		if resuming {
			l.resumer.Begin(l.inGOP)
		}
		l.needKeyframe, l.resyncBytes = false, 0
		e.gap.join(l.leadingGap)
		l.leadingGap = gap{}
		if l.resumer.passes(&e.Chunk) {
			return
		}
		l.rewrite()
	}
}

// rewrite makes deliveries of the first entry: the packets that the resumer lets through, and those that it injects.
func (l *live) rewrite() {
	e := l.fifo.pop()
	defer e.Release()
	first := e.delivery()
	first.block = nil
	first.HasPSI = first.HasPSI || l.resumer.injectsPSI(&e.Chunk)
	if l.resumer.injectsSets(&e.Chunk) {
		first.Sets = nil
	}
	w := rewriter{first: first, limit: l.maxDelivery}
	dropped := l.resumer.rewrite(&e.Chunk, w.add)
	l.rewritten, l.rewrittenSeq = w.deliveries(), e.seq
	if dropped > 0 {
		l.account.dropHeld(Resync, amountOf(Packets, int(dropped)))
		if len(l.rewritten) > 0 {
			l.rewritten[0].Gap, l.rewritten[0].Dropped = true, l.rewritten[0].Dropped+dropped
		} else {
			l.leadingGap = e.gap
			l.leadingGap.add(dropped, e.Change)
		}
	}
}

// rewriter makes deliveries of packets.
type rewriter struct {
	first Delivery // what the first delivery says of itself
	limit int      // of a delivery in bytes; 0: none
	done  []Delivery
	data  []byte
	size  int
}

func (w *rewriter) add(p mpegts.Packet, injected bool) {
	if w.limit > 0 && len(w.data) > 0 && len(w.data)+len(p) > w.limit {
		w.finish()
	}
	w.data = append(w.data, p...)
	if !injected {
		w.size += len(p)
	}
}

func (w *rewriter) finish() {
	d := Delivery{ReceivedAt: w.first.ReceivedAt, Kind: w.first.Kind}
	if len(w.done) == 0 {
		d = w.first
	}
	d.Data, d.Size = w.data, w.size
	w.done = append(w.done, d)
	w.data, w.size = nil, 0
}

func (w *rewriter) deliveries() []Delivery {
	if len(w.data) > 0 {
		w.finish()
	}
	return w.done
}
