package viewer

import (
	"sync"
	"time"

	"github.com/timdrysdale/vw/internal/wake"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

const (
	// pingInterval is how often a viewer is asked to confirm what it has got.
	pingInterval = 2 * time.Second
	// pingLook is how often the hub looks whether a ping is due, with the stream.
	pingLook = 500 * time.Millisecond
	// keepaliveInterval is how often it is when there is nothing to confirm, so that what stands between does not
	// forget the connection.
	keepaliveInterval = 15 * time.Second
	// tickInterval is how often the hub looks for what is due while no stream comes.
	tickInterval = time.Second
	// maxUnsent is how many bytes are written to a viewer at once. It is also the longest message that is gathered.
	maxUnsent = 256 << 10
)

// hub gives what comes in to all viewers. One goroutine makes the frames and writes each, without waiting, to those who
// have got everything before it. A viewer that the kernel takes nothing more for gets a goroutine of its own until it
// has caught up.
type hub struct {
	o       *Options
	in      inbox
	probe   *probe
	running sync.WaitGroup // the hub's goroutine, and those of the viewers

	began time.Time

	mu sync.Mutex
	history
	// pos is the position in the stream after the last frame, messages how many frames with bytes there were.
	pos, messages int64
	// unsent are frames that have not been written to the live viewers yet. mu protects them.
	unsent      []place
	unsentBytes int
	viewers     map[*viewer]struct{}
	live        []*viewer     // have got everything, and wait for the next frame
	writers     []liveWriter  // of live, in its order
	waiting     []*viewer     // wait for a keyframe
	parked      []*viewer     // have got everything, and have a goroutine that waits for the next frame
	gone        stream.Counts // of viewers that have left
	ended       bool
	warned      bool
	// scratch is memory for joined frames.
	scratch []byte
}

// liveWriter is what flush needs of each live viewer. It is no part of the viewer, because what hundreds of writes need
// each time must be small and lie together: each takes the cache for itself.
type liveWriter struct {
	w tryWriter
	// pingFrom is when the viewer has to be asked whether a ping is due, since the hub began.
	pingFrom time.Duration
}

// history is what the hub keeps of the stream.
type history struct {
	// groups are the last group, which new viewers begin with, and those before it that are not too old for viewers who
	// are behind. Their ids have no gaps.
	groups []*group
	nextID uint64
	memory int64 // of groups
	// orphans are groups that have left groups and are still being delivered to viewers.
	orphans      map[*group]struct{}
	orphanMemory int64
	// fullUpTo is the id of the last group that left for want of memory and not for its age.
	fullUpTo uint64
}

// place is where a frame stands.
type place struct {
	g     *group
	index int
	f     *frame
}

func newHub(o *Options) *hub {
	return &hub{
		o:       o,
		in:      inbox{limit: o.Buffer, ready: wake.New()},
		probe:   newProbe(),
		began:   time.Now(),
		history: history{orphans: map[*group]struct{}{}},
		viewers: map[*viewer]struct{}{},
	}
}

// distribute gives chunks to the viewers.
func (h *hub) distribute(all []pending) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	var message []stream.Chunk
	for len(all) > 0 {
		if all[0].full > 0 {
			h.skip(all[0].full, stream.Full, now)
			h.lastGroup().gapAfter = true
		}
		message = message[:0]
		for n := h.messageLength(all); len(message) < n; all = all[1:] {
			message = append(message, all[0].Chunk)
		}
		h.add(message, now)
	}
	h.flush(now)
	h.trim(now)
}

// messageLength returns how many of the chunks become one message.
func (h *hub) messageLength(all []pending) int {
	if h.o.Gather == 0 || all[0].Kind != stream.Packets || all[0].Discard {
		return 1
	}
	n, size := 1, len(all[0].Data)
	for ; n < len(all); n++ {
		c := &all[n]
		size += len(c.Data)
		if c.Kind != stream.Packets || c.Discard || c.RandomAccess || c.Change != 0 || c.full > 0 || size > maxUnsent {
			break
		}
	}
	return n
}

// add makes one message of chunks.
func (h *hub) add(chunks []stream.Chunk, now time.Time) {
	first := &chunks[0]
	switch {
	case first.Discard, first.Kind == stream.Partial:
		h.skip(int64(len(first.Data)), stream.Torn, now)
		return
	case first.Kind == stream.Unsynced:
		h.skip(int64(len(first.Data)), stream.OutOfSync, now)
		return
	}
	if h.pos > 0 && first.Change&restarts != 0 {
		h.flush(now)
		h.restart()
	}
	f := newFrame(h.pos, chunks)
	h.probe.frame(f, now)
	if first.RandomAccess || len(h.groups) == 0 {
		h.beginGroup(first, now)
	}
	g := h.lastGroup()
	g.add(f)
	h.memory += f.memory()
	h.pos = f.end()
	h.messages++
	h.unsent = append(h.unsent, place{g, g.count() - 1, f})
	if h.unsentBytes += len(f.wire); h.unsentBytes >= maxUnsent {
		h.flush(now)
	}
	h.placeWaiting(g, f)
}

// beginGroup begins a group with the next frame.
func (h *hub) beginGroup(c *stream.Chunk, now time.Time) {
	afterGap := len(h.groups) > 0 && h.lastGroup().gapAfter
	if afterGap {
		h.flush(now)
	}
	h.nextID++
	g := &group{id: h.nextID, receivedAt: c.ReceivedAt, randomAccess: c.RandomAccess, afterGap: afterGap, start: h.pos}
	h.groups = append(h.groups, g)
	for afterGap && len(h.live) > 0 {
		v := h.live[0]
		h.leaveLive(v)
		v.begin(g, 0)
		v.startPump()
	}
}

// placeWaiting lets those who wait for a keyframe begin with f, the last frame of g, if it is one, or if there has been
// none for so long that going on without one is better.
func (h *hub) placeWaiting(g *group, f *frame) {
	for i := len(h.waiting) - 1; i >= 0; i-- {
		v := h.waiting[i]
		if f.begin == nil {
			if h.pos-v.pos <= h.o.Buffer {
				continue
			}
			h.warn("no keyframe came in as many bytes as the buffer holds, so viewers began without one",
				"let the encoder make keyframes more often (ffmpeg -g 25), or give --buffer more")
		}
		v.dropped.Add(v.waitReason, f.pos-v.pos)
		v.pos = f.pos
		h.remove(&h.waiting, v)
		v.begin(g, g.count()-1)
		v.startPump()
	}
}

// skip counts n bytes that come in and go to no viewer.
func (h *hub) skip(n int64, reason stream.Reason, now time.Time) {
	h.flush(now)
	if len(h.groups) == 0 {
		h.beginGroup(&stream.Chunk{ReceivedAt: now}, now)
	}
	f := &frame{pos: h.pos, size: n, reason: reason}
	h.lastGroup().add(f)
	h.memory += f.memory()
	h.pos = f.end()
	for _, v := range h.live {
		v.dropped.Add(reason, n)
	}
}

// flush writes the unsent frames to the live viewers, and wakes the others who have got everything before them.
func (h *hub) flush(now time.Time) {
	if len(h.unsent) == 0 {
		return
	}
	wire := h.unsent[0].f.wire
	if len(h.unsent) > 1 {
		h.scratch = h.scratch[:0]
		for _, p := range h.unsent {
			h.scratch = append(h.scratch, p.f.wire...)
		}
		wire = h.scratch
	}
	var withPing []byte
	for i := 0; i < len(h.live); {
		l := &h.writers[i]
		data, ping := wire, false
		if since := now.Sub(h.began); since >= l.pingFrom {
			l.pingFrom = since + pingLook
			ping = h.live[i].pingDue(now)
		}
		if ping {
			if withPing == nil {
				withPing = appendPing(append(make([]byte, 0, len(wire)+wsconn.MaxControlPayload), wire...), h.pos)
			}
			data = withPing
		}
		n := l.w.TryWrite(data)
		switch {
		case n < len(data):
			h.live[i].fallBehind(n, data) // and another one takes its place in live
		case ping:
			l.pingFrom += pingInterval - pingLook
			h.live[i].pinged(now, h.pos)
			fallthrough
		default:
			i++
		}
	}
	clear(h.unsent)
	h.unsent, h.unsentBytes = h.unsent[:0], 0
	h.wakeParked()
}

func (h *hub) wakeParked() {
	for len(h.parked) > 0 {
		v := h.parked[len(h.parked)-1]
		h.remove(&h.parked, v)
		v.wake.Set()
	}
}

// restart closes the viewers that have begun, since their players would not go on with what comes now.
func (h *hub) restart() {
	h.probe.restart()
	for v := range h.viewers {
		if v.begun {
			v.endStream(stream.Resync)
			v.close(wsconn.StatusServiceRestart, "the stream begins anew")
		}
	}
	for len(h.groups) > 0 {
		h.dropGroup(stream.Resync)
	}
}

// trim removes groups that no viewer begins with any more, and what there is no room for.
func (h *hub) trim(now time.Time) {
	for len(h.groups) > 1 {
		switch {
		case h.memory > h.o.Buffer:
			h.dropGroup(stream.Full)
		case h.old(h.groups[0], now):
			h.dropGroup(stream.Age)
		default:
			return
		}
	}
	if len(h.groups) > 0 && h.memory > h.o.Buffer {
		h.lastGroup().release(h.o.Buffer)
		h.memory = h.lastGroup().memory
	}
}

// old reports whether a group began too long ago for a viewer who has not begun it and is behind.
func (h *hub) old(g *group, now time.Time) bool {
	return h.o.MaxAge > 0 && now.Sub(g.receivedAt) > h.o.MaxAge
}

// dropGroup takes out the first group. Viewers who are in it get the rest, as long as there is room for it.
func (h *hub) dropGroup(reason stream.Reason) {
	g := h.groups[0]
	h.groups[0] = nil
	h.groups = h.groups[1:]
	h.memory -= g.memory
	if reason == stream.Full {
		h.fullUpTo = g.id
	}
	if g.viewers == 0 {
		return
	}
	h.orphans[g] = struct{}{}
	h.orphanMemory += g.memory
	for h.orphanMemory > h.o.Buffer {
		h.dropOldestOrphan()
	}
}

// dropOldestOrphan makes room: who is still in the oldest group goes on at the next one that is here.
func (h *hub) dropOldestOrphan() {
	var oldest *group
	for g := range h.orphans {
		if oldest == nil || g.id < oldest.id {
			oldest = g
		}
	}
	for v := range h.viewers {
		if v.cur == oldest {
			h.warn("a group of pictures was longer than the memory for viewers, so it was cut in the middle for "+
				"slow ones",
				"let the encoder make keyframes more often (ffmpeg -g 25), or give --viewer-buffer more")
			v.seek(stream.Full)
		}
	}
}

// leaveGroup says that a viewer's place is not in the group any more.
func (h *hub) leaveGroup(g *group) {
	g.viewers--
	if _, orphan := h.orphans[g]; orphan && g.viewers == 0 {
		delete(h.orphans, g)
		h.orphanMemory -= g.memory
	}
}

func (h *hub) lastGroup() *group { return h.groups[len(h.groups)-1] }

// group returns the group with the id, if it is still here.
func (h *hub) group(id uint64) *group {
	if len(h.groups) == 0 || id < h.groups[0].id || id > h.lastGroup().id {
		return nil
	}
	return h.groups[id-h.groups[0].id]
}

func (h *hub) warn(msg, hint string) {
	if !h.warned {
		h.warned = true
		h.o.Log.Warn(msg, "hint", hint)
	}
}

// remove takes a viewer out of the list that it is in.
func (h *hub) remove(list *[]*viewer, v *viewer) {
	l := *list
	last := len(l) - 1
	l[v.at] = l[last]
	l[v.at].at = v.at
	l[last] = nil
	*list = l[:last]
	v.in = nil
}

// enter puts a viewer into a list.
func (h *hub) enter(list *[]*viewer, v *viewer) {
	v.in, v.at = list, len(*list)
	*list = append(*list, v)
}
