package viewer

import "github.com/timdrysdale/vw/lib/stream"

// How the ledger's entry for viewers comes about. Nothing is counted while the stream flows to those who keep up: their
// figures follow from their places in it. They are summed up on request.

// counts returns the figures of all viewers, those who have left included. Each counts from where it joined.
func (h *hub) counts() stream.Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.gone
	c.To = "viewers"
	for v := range h.viewers {
		v.addTo(&c)
	}
	c.Viewers = &stream.Viewers{Connected: int64(len(h.viewers))}
	return c
}

// addTo adds the viewer's figures to c.
func (v *viewer) addTo(c *stream.Counts) {
	h := v.h
	pos, end := v.position(), v.end()
	taken, held := v.taken(), end-pos
	c.In += end - v.first
	c.Dropped.Join(&v.dropped)
	if v.in == &h.waiting {
		c.Dropped.Add(v.waitReason, held)
		held = 0
	}
	c.Held += held
	c.Confirmed += v.confirmed
	c.Unconfirmed += taken - v.confirmed
	c.Written += taken
	c.Injected += v.injected
	c.Messages += v.messages
	if v.in == &h.live {
		c.Messages += h.messages
	}
}
