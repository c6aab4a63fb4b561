package stream

import "github.com/timdrysdale/vw/lib/mpegts"

// How a live queue goes on behind a gap: tables first, each PID at its next payload_unit_start, and where the consumer's
// decoder lives on, the gap announced for each PID.

// filter lets a PID through from its next payload_unit_start on.
type filter struct {
	active   bool // there has been a gap
	announce bool
	resumed  [mpegts.NumPIDs / 64]uint64
}

func (f *filter) begin(announce bool) {
	*f = filter{active: true, announce: announce}
}

func (f *filter) has(pid uint16) bool { return f.resumed[pid/64]&(1<<(pid%64)) != 0 }

func (f *filter) resume(pid uint16) { f.resumed[pid/64] |= 1 << (pid % 64) }

// clean reports whether all packets of a chunk can go through as they are.
func (f *filter) clean(data []byte) bool {
	for ; len(data) >= mpegts.PacketSize; data = data[mpegts.PacketSize:] {
		if pid := mpegts.Packet(data).PID(); !f.has(pid) && pid != mpegts.PIDNull {
			return false
		}
	}
	return true
}

// prepare makes the first entry ready to be taken: it drops what may not come first, and puts in front what is missing.
func (q *Queue) prepare() {
	for len(q.front) == 0 && q.head < len(q.entries) {
		e := &q.entries[q.head]
		if q.fresh && !e.RandomAccess {
			if n := int64(len(e.Data)); q.skip(n) {
				q.before.add(n)
				e.Release()
				q.pop()
				continue
			}
			e.RandomAccess = true
		}
		resuming := q.fresh || e.gap.open
		if resuming {
			q.filter.begin(q.begun)
		}
		q.fresh, q.skipped = false, 0
		e.gap.join(q.before)
		q.before = gap{}
		inject := resuming && !e.HasPSI && e.PSI != nil
		if e.Kind != Packets || !q.filter.active || !inject && q.filter.clean(e.Data) {
			return
		}
		q.rewrite(inject)
	}
}

// rewrite takes the first entry out and puts in front what may pass of it, with what has to be injected.
func (q *Queue) rewrite(inject bool) {
	e := q.entries[q.head]
	q.pop()
	defer e.Release()
	first := e.parcel()
	first.block = nil
	first.HasPSI = first.HasPSI || inject
	w := rewriter{first: first, limit: q.o.MaxDelivery}
	if inject {
		for p := e.PSI.Append(nil, e.Counters); len(p) > 0; p = p[mpegts.PacketSize:] {
			q.resume(&w, p[:mpegts.PacketSize], true)
		}
	}
	var dropped int64
	for p := e.Data; len(p) > 0; p = p[mpegts.PacketSize:] {
		packet := mpegts.Packet(p[:mpegts.PacketSize])
		pid := packet.PID()
		switch {
		case pid == mpegts.PIDNull, q.filter.has(pid):
			w.add(packet, false)
		case packet.PayloadUnitStart():
			q.resume(&w, packet, false)
		case !packet.HasPayload() && (e.PSI == nil || !e.PSI.Carries(pid)):
			w.add(packet, false) // nothing but a clock, on a PID of its own
		default:
			dropped += mpegts.PacketSize
		}
	}
	q.front, q.frontNumber = w.parcels(), e.number
	if dropped > 0 {
		q.o.Account.dropHeld(Resync, dropped)
		if len(q.front) > 0 {
			q.front[0].Gap, q.front[0].Dropped = true, q.front[0].Dropped+dropped
		} else {
			q.before = e.gap
			q.before.add(dropped)
		}
	}
}

// resume writes the first packet of a PID behind a gap.
func (q *Queue) resume(w *rewriter, p mpegts.Packet, injected bool) {
	if pid := p.PID(); !q.filter.has(pid) {
		q.filter.resume(pid)
		if q.filter.announce {
			w.add(mpegts.AppendDiscontinuity(nil, p), true)
		}
	}
	w.add(p, injected)
}

// rewriter makes parcels of packets.
type rewriter struct {
	first Delivery // what the first parcel says of itself
	limit int
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
	p := Delivery{ReceivedAt: w.first.ReceivedAt, Kind: w.first.Kind}
	if len(w.done) == 0 {
		p = w.first
	}
	p.Data, p.Size = w.data, w.size
	w.done = append(w.done, p)
	w.data, w.size = nil, 0
}

func (w *rewriter) parcels() []Delivery {
	if len(w.data) > 0 {
		w.finish()
	}
	return w.done
}
