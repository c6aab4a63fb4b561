package stream

import "github.com/timdrysdale/vw/lib/mpegts"

// How a live queue goes on after a gap: PAT and PMT first, each PID from its next payload_unit_start on. Where the
// consumer's decoder lives on, the gap is announced for each PID.

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

// clean reports whether all packets of a chunk pass as they are.
func (f *filter) clean(data []byte) bool {
	for ; len(data) >= mpegts.PacketSize; data = data[mpegts.PacketSize:] {
		if pid := mpegts.Packet(data).PID(); !f.has(pid) && pid != mpegts.PIDNull {
			return false
		}
	}
	return true
}

// prepare makes the first entry ready to be taken: it drops what must not come first, and puts in front what is missing.
func (l *live) prepare() {
	for len(l.rewritten) == 0 && len(l.fifo.waiting()) > 0 {
		e := &l.fifo.waiting()[0]
		if l.needKeyframe && !e.RandomAccess {
			if n := int64(len(e.Data)); l.resync(n) {
				l.leadingGap.add(n)
				first := l.fifo.pop()
				first.Release()
				continue
			}
			e.RandomAccess = true
		}
		resuming := l.needKeyframe || e.gap.open
		if resuming {
			l.filter.begin(l.inGOP)
		}
		l.needKeyframe, l.resyncBytes = false, 0
		e.gap.join(l.leadingGap)
		l.leadingGap = gap{}
		inject := resuming && !e.HasPSI && e.PSI != nil
		if e.Kind != Packets || !l.filter.active || !inject && l.filter.clean(e.Data) {
			return
		}
		l.rewrite(inject)
	}
}

// rewrite makes deliveries of the first entry: the packets that the filter lets through, and those that are injected.
func (l *live) rewrite(inject bool) {
	e := l.fifo.pop()
	defer e.Release()
	first := e.delivery()
	first.block = nil
	first.HasPSI = first.HasPSI || inject
	w := rewriter{first: first, limit: l.maxDelivery}
	if inject {
		for p := e.PSI.Append(nil, e.Counters); len(p) > 0; p = p[mpegts.PacketSize:] {
			l.resume(&w, p[:mpegts.PacketSize], true)
		}
	}
	var dropped int64
	for p := e.Data; len(p) > 0; p = p[mpegts.PacketSize:] {
		packet := mpegts.Packet(p[:mpegts.PacketSize])
		pid := packet.PID()
		switch {
		case pid == mpegts.PIDNull, l.filter.has(pid):
			w.add(packet, false)
		case packet.PayloadUnitStart():
			l.resume(&w, packet, false)
		case !packet.HasPayload() && (e.PSI == nil || !e.PSI.Carries(pid)):
			w.add(packet, false) // nothing but a clock, on a PID of its own
		default:
			dropped += mpegts.PacketSize
		}
	}
	l.rewritten, l.rewrittenSeq = w.deliveries(), e.seq
	if dropped > 0 {
		l.account.dropHeld(Resync, dropped)
		if len(l.rewritten) > 0 {
			l.rewritten[0].Gap, l.rewritten[0].Dropped = true, l.rewritten[0].Dropped+dropped
		} else {
			l.leadingGap = e.gap
			l.leadingGap.add(dropped)
		}
	}
}

// resume writes the first packet of a PID after a gap.
func (l *live) resume(w *rewriter, p mpegts.Packet, injected bool) {
	if pid := p.PID(); !l.filter.has(pid) {
		l.filter.resume(pid)
		if l.filter.announce {
			w.add(mpegts.AppendDiscontinuity(nil, p), true)
		}
	}
	w.add(p, injected)
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
