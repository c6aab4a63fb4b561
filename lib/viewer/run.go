package viewer

import (
	"time"

	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// run gives the viewers what comes in, until ended is closed; then the rest of it, and closes them.
func (h *hub) run(ended <-chan struct{}) {
	tick := time.NewTicker(min(tickInterval, max(h.o.DeadAfter/4, time.Millisecond)))
	defer tick.Stop()
	var spare []pending
	for {
		select {
		case <-h.in.ready:
			if h.in.empty() { // it was taken with what came before
				continue
			}
			if h.o.Gather > 0 {
				h.gather(ended)
			}
		case <-tick.C:
			h.tick(time.Now())
			continue
		case <-ended:
			h.deliver(h.in.take(nil))
			h.end(h.in.takeFull())
			return
		}
		all := h.in.take(spare)
		h.deliver(all)
		spare = all[:0]
	}
}

// deliver distributes chunks, and gives their memory back.
func (h *hub) deliver(all []pending) {
	if len(all) == 0 {
		return
	}
	h.distribute(all)
	for i := range all {
		all[i].Release()
	}
	clear(all)
}

// gather lets more come in, so that it becomes one message.
func (h *hub) gather(ended <-chan struct{}) {
	timer := time.NewTimer(h.o.Gather)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ended:
	}
}

// tick asks viewers who were not asked with the stream what they have got, and ends those who take nothing.
func (h *hub) tick(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for v := range h.viewers {
		if v.writing {
			if now.Sub(h.began)-time.Duration(v.progress.Load()) > h.o.DeadAfter {
				v.dead = true
				v.cut()
			}
			continue
		}
		if v.pingDue(now) {
			v.startPump()
		}
	}
}

// end closes all viewers once they have got everything, and lets no more in. The last full bytes of the stream were
// dropped.
func (h *hub) end(full int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if full > 0 {
		h.skip(full, stream.Full, time.Now())
	}
	h.ended = true
	for v := range h.viewers {
		v.close(wsconn.StatusGoingAway, "the stream has ended")
	}
}

// cutAll ends the connections that are left.
func (h *hub) cutAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for v := range h.viewers {
		if v.in == &h.live {
			h.leaveLive(v)
		}
		v.cut()
	}
}
