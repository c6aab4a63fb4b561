package mpegts

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"
	"time"
)

// Report are what a Checker has seen of a stream.
type Report struct {
	// Packets are all that stood in sync.
	Packets int64 `json:"packets"`
	// Frames are the access units of the video, Keyframes those of them at which decoding can start.
	Frames    int64 `json:"frames"`
	Keyframes int64 `json:"keyframes"`
	// SyncErrors counts runs of bytes, however long, that are no packets. A packet that the stream's end tears is one.
	SyncErrors int64 `json:"sync_errors"`
	// ContinuityErrors counts packets whose continuity counter does not fit the packet of the same PID before
	// (ISO/IEC 13818-1, 2.4.3.3). A packet may be sent twice, not three times.
	ContinuityErrors int64 `json:"continuity_errors"`
	// Lost is how many packets are missing in front of these, as far as the counters tell it: modulo 16, and no less for
	// packets in another order. A counter that stands still is taken for a packet that comes again.
	Lost int64 `json:"lost"`
	// Gaps counts announced gaps. A gap begins where an elementary PID that has been seen before has
	// discontinuity_indicator set. It is one gap for all PIDs: it ends when each elementary PID of the program has
	// carried payload since, or when one that has announced it announces again.
	Gaps int64 `json:"gaps"`
	// StartsAtKeyframe: the PAT and the PMT came before the first packet of any stream, and the video begins with a
	// keyframe.
	StartsAtKeyframe bool `json:"starts_at_keyframe"`
	// PATs and PMTs count the tables whose CRC is right, TableErrors those whose CRC is wrong or which are cut short.
	PATs        int64 `json:"pats"`
	PMTs        int64 `json:"pmts"`
	TableErrors int64 `json:"table_errors"`
	// TransportErrors counts packets with transport_error_indicator; nothing else in them is looked at.
	TransportErrors int64 `json:"transport_errors"`
	// Duplicates counts packets sent for the second time.
	Duplicates int64 `json:"duplicates"`
	// TimestampErrors counts DTS (PTS where there is none) of audio and video that go back, or are more than 0.7 s behind
	// the one before (ISO/IEC 13818-1, 2.7.4), but for those behind an announced gap; and PTS in front of their DTS or too
	// far behind it (2.4.2.6: 10 s, of MPEG-1 and MPEG-2 video 1 s). PES packets without any count once each time that
	// the PCR has gone on by both, 0.7 s and 10 s or 1 s.
	TimestampErrors int64 `json:"timestamp_errors"`
	// GOPMin and GOPMax are the fewest and the most frames from one keyframe to the next, 0 before the second keyframe.
	GOPMin int64 `json:"gop_min"`
	GOPMax int64 `json:"gop_max"`
	// PCRs counts program clock references, PCRErrors those that go back or come too late after the one before. Where
	// none come any more it counts each time that the DTS has gone on by the interval and 10 s, of MPEG-1 and MPEG-2
	// video 1 s.
	PCRs      int64 `json:"pcrs"`
	PCRErrors int64 `json:"pcr_errors"`
	// PCRIntervalMax is the longest time from one PCR to the next, by their own values, in ms.
	PCRIntervalMax float64 `json:"pcr_interval_max_ms"`
}

const (
	// syncRun is how many sync bytes, a packet apart, show where packets begin.
	syncRun = 3
	// huntRoom is how many bytes are looked at together where sync is lost.
	huntRoom = 8 * PacketSize
	// noted is how many bytes are shown of what is wrong.
	noted = 16
)

// Checker checks a stream that comes in pieces of any size: packets may be torn across them. It is an io.Writer that
// never fails. Unlike Scanner, which cuts a stream that it believes, it believes nothing.
//
// NewChecker makes one. It holds about 3 KiB, and 32 bytes for each PID of the stream.
type Checker struct {
	// MaxPCRInterval is the longest time between two PCRs; DefaultPCRInterval unless it is set before the first Write.
	// (What ffmpeg writes with a variable bit rate has one PCR for each frame: too few below 10 frames a second.)
	MaxPCRInterval time.Duration
	// OnPCR, unless it is nil, is called for each PCR, during the Write that completes its packet, with how far it is ahead
	// of the one before on its PID. It does not follow any (and advance means nothing) as the first of its PID, and behind
	// an announced gap.
	OnPCR func(pid uint16, advance time.Duration, follows bool)

	f       Report
	clocks  clocks
	carried map[uint16]int64 // packets by PID
	lastKey int64            // the frame that was the last keyframe, from 1
	scan    Scanner
	seed    maphash.Seed
	pids    map[uint16]*pidState
	tables  map[uint16]*sections // of the PAT and of the PMTs that it names
	first   map[string]string    // of each kind of trouble, where it came first
	offset  int64                // of the next byte that is judged
	started bool                 // StartsAtKeyframe is decided

	synced bool
	junk   bool   // while not synced: part of this run of junk has been seen
	held   []byte // synced: the start of a torn packet; else bytes that are not judged yet

	announced []uint16 // PIDs that have announced the gap that is open
	missing   []uint16 // elementary PIDs that have carried nothing since it began
}

// pidState is what must be known of a PID's last packet.
type pidState struct {
	counter uint8
	payload bool // it carried payload
	twice   bool // it was a duplicate
	jumps   bool // it had discontinuity_indicator
	hash    uint64
}

// NewChecker returns a Checker for one stream.
func NewChecker() *Checker {
	return &Checker{
		MaxPCRInterval: DefaultPCRInterval,

		carried: make(map[uint16]int64),

		clocks: clocks{last: make(map[uint16]uint64), pcr: make(map[uint16]uint64)},
		seed:   maphash.MakeSeed(),
		pids:   make(map[uint16]*pidState),
		tables: map[uint16]*sections{PIDPAT: new(sections)},
		first:  make(map[string]string),
	}
}

// Report returns what has been seen so far; it is complete after End.
func (c *Checker) Report() Report { return c.f }

// Problems returns what is wrong with the stream, one line for each kind, with the place where it came first.
func (c *Checker) Problems() []string {
	var lines []string
	for _, t := range []struct {
		n    int64
		kind string
	}{
		{c.f.SyncErrors, "sync"}, {c.f.TransportErrors, "transport"},
		{c.f.ContinuityErrors, "continuity"}, {c.f.TableErrors, "table"},
		{c.f.TimestampErrors, "timestamp"}, {c.f.PCRErrors, "PCR"},
	} {
		if t.n > 0 {
			lines = append(lines, fmt.Sprintf("%d %s errors, the first %s", t.n, t.kind, c.first[t.kind]))
		}
	}
	if c.f.PATs == 0 {
		lines = append(lines, "no PAT")
	}
	if c.f.PMTs == 0 {
		lines = append(lines, "no PMT")
	}
	if c.clocks.named && c.f.PCRs == 0 {
		lines = append(lines, "no PCR")
	}
	if s := c.clocks.stops; s.none && !s.some && c.f.Keyframes > 0 {
		lines = append(lines, "no PTS")
	}
	if !c.f.StartsAtKeyframe {
		lines = append(lines, "does not start at a keyframe")
	}
	return lines
}

// Write takes the next bytes of the stream.
func (c *Checker) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if c.synced {
			p = c.follow(p)
		} else {
			p = c.hunt(p)
		}
	}
	return n, nil
}

// follow takes packets off p for as long as they begin with a sync byte, and returns the rest.
func (c *Checker) follow(p []byte) []byte {
	if len(c.held) > 0 {
		n := min(PacketSize-len(c.held), len(p))
		c.held = append(c.held, p[:n]...)
		if len(c.held) < PacketSize {
			return nil
		}
		c.packet(c.held)
		c.held = c.held[:0]
		p = p[n:]
	}
	for len(p) >= PacketSize && p[0] == SyncByte {
		c.packet(p[:PacketSize])
		p = p[PacketSize:]
	}
	if len(p) == 0 || p[0] != SyncByte {
		c.synced = len(p) == 0
		return p
	}
	c.held = append(c.held, p...)
	return nil
}

// hunt looks for packets in what is held and in p, and returns what is left of p.
func (c *Checker) hunt(p []byte) []byte {
	n := min(huntRoom-len(c.held), len(p))
	c.held = append(c.held, p[:n]...)
	p = p[n:]
	at := 0
	for {
		next := bytes.IndexByte(c.held[at:], SyncByte)
		if next < 0 {
			at = len(c.held)
			break
		}
		at += next
		if len(c.held) <= at+(syncRun-1)*PacketSize {
			break
		}
		if packets, _ := run(c.held[at:]); packets >= syncRun-1 {
			c.lose(at)
			c.resync()
			return p
		}
		at++
	}
	c.lose(at)
	return p
}

// run returns how many packets follow each other from the start of b, and how many bytes are left behind them. A rest
// that does not begin with a sync byte makes the last packet none.
func run(b []byte) (packets, rest int) {
	for len(b) >= PacketSize && b[0] == SyncByte {
		packets++
		b = b[PacketSize:]
	}
	if len(b) > 0 && b[0] != SyncByte {
		packets--
	}
	return packets, len(b)
}

// lose drops the first n bytes of what is held, as junk.
func (c *Checker) lose(n int) {
	if n == 0 {
		return
	}
	if !c.junk {
		c.junk = true
		c.f.SyncErrors++
		c.note("sync", c.held, "at byte %d", c.offset)
	}
	c.offset += int64(n)
	c.held = append(c.held[:0], c.held[n:]...)
}

// resync goes on with what is held, which begins with a packet.
func (c *Checker) resync() {
	found := c.held
	c.held = nil // a torn packet needs less
	c.synced, c.junk = true, false
	c.Write(found)
}

// End says that the stream has ended: what is still held is judged.
func (c *Checker) End() {
	if !c.synced {
		// A stream may be shorter than a run of sync bytes; and behind junk, two packets up to the end are believed.
		for at := range c.held {
			packets, rest := run(c.held[at:])
			if packets >= 1 && at == 0 && !c.junk || packets >= syncRun-1 && rest == 0 {
				c.lose(at)
				c.resync()
				break
			}
		}
	}
	c.lose(len(c.held))
	c.synced = false
}

// packet judges the next packet.
func (c *Checker) packet(p Packet) {
	number := c.f.Packets
	c.f.Packets++
	defer func() { c.offset += PacketSize }()
	if p[1]&0x80 != 0 {
		c.f.TransportErrors++
		c.note("transport", p, "at byte %d (packet %d)", c.offset, number)
		return
	}
	pid := p.PID()
	if pid == PIDNull {
		return
	}
	c.carried[pid]++
	switch c.follows(pid, p, number) {
	case duplicate:
		c.f.Duplicates++
		return
	case broken:
		if s := c.tables[pid]; s != nil {
			s.open = false
		}
	}
	if s := c.tables[pid]; s != nil {
		c.table(pid, s, p, number)
	}
	mark := c.scan.Packet(p)
	if mark&AccessUnit != 0 {
		c.f.Frames++
		if mark&RandomAccess != 0 {
			c.keyframe()
		}
	}
	c.clock(pid, p, number)
	if !c.started {
		c.start(pid, p, mark)
	}
	if len(c.missing) > 0 && p.HasPayload() {
		if i := slices.Index(c.missing, pid); i >= 0 {
			c.missing = slices.Delete(c.missing, i, i+1)
		}
		if len(c.missing) == 0 {
			c.announced = c.announced[:0]
		}
	}
}

type continuity int

const (
	fits continuity = iota
	duplicate
	broken
)

// follows checks the continuity counter (ISO/IEC 13818-1, 2.4.3.3).
func (c *Checker) follows(pid uint16, p Packet, number int64) continuity {
	counter, payload := p.Continuity(), p.HasPayload()
	var hash uint64
	if payload {
		hash = maphash.Bytes(c.seed, p.Payload()) // the header may differ, in its clock
	}
	last := c.pids[pid]
	if last == nil {
		c.pids[pid] = &pidState{counter: counter, payload: payload, jumps: p.Discontinuity(), hash: hash}
		return fits
	}
	want := last.counter
	if payload {
		want = (want + 1) & 0x0F
	}
	jumps := p.Discontinuity()
	again := payload && last.payload && !last.twice && counter == last.counter && hash == last.hash
	result := fits
	switch {
	case jumps && !(again && last.jumps): // the second of two announces nothing
		c.announce(pid)
	case counter == want:
	case again:
		result = duplicate
	default:
		result = broken
		c.f.ContinuityErrors++
		if counter != last.counter {
			c.f.Lost += int64((counter - want) & 0x0F)
		}
		c.note("continuity", p, "at byte %d (packet %d, PID 0x%04x): counter %d instead of %d", c.offset, number, pid,
			counter, want)
	}
	*last = pidState{counter: counter, payload: payload, twice: result == duplicate, jumps: jumps, hash: hash}
	return result
}

// announce takes a discontinuity_indicator on a PID.
func (c *Checker) announce(pid uint16) {
	c.clocks.forget(pid)
	tables, _ := c.scan.Tables()
	if pid < pidFirstFree || c.tables[pid] != nil || tables != nil && !tables.Carries(pid) {
		return
	}
	if len(c.announced) > 0 && !slices.Contains(c.announced, pid) {
		c.announced = append(c.announced, pid)
		return
	}
	c.f.Gaps++
	c.announced = append(c.announced[:0], pid)
	c.missing = c.missing[:0]
	if tables != nil {
		for _, s := range tables.Streams {
			c.missing = append(c.missing, s.PID)
		}
	}
}

// start decides StartsAtKeyframe by the first packets with payload.
func (c *Checker) start(pid uint16, p Packet, mark Mark) {
	if !p.HasPayload() || mark&PSI != 0 {
		return
	}
	tables, _ := c.scan.Tables()
	switch {
	case tables == nil:
		c.started = true
	case pid == c.scan.lead:
		c.started, c.f.StartsAtKeyframe = true, mark&RandomAccess != 0
	}
}

// note keeps the first trouble of a kind, with the first of the bytes that came there.
func (c *Checker) note(kind string, came []byte, format string, args ...any) {
	if c.first[kind] == "" {
		c.first[kind] = fmt.Sprintf(format, args...) + fmt.Sprintf(" [% x …]", came[:min(len(came), noted)])
	}
}
