package record

import (
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

// beginsAnew are the changes of a stream after which a file cannot go on: a player would stop, or jump in time.
const beginsAnew = mpegts.CodecChanged | mpegts.ClockJump

// minChangeInterval is how long a file lasts at least before it ends for a change. Otherwise an encoder that restarts
// again and again would make many small files, and retention would delete good recordings for them.
const minChangeInterval = 10 * time.Second

// isAnew reports whether a file must begin with a delivery because the stream begins anew there, or has done so when
// the last such file was too young. Changed parameter sets need a new file only where those in between may be missing.
func (w *writer) isAnew(p *stream.Delivery) bool {
	isChange := p.Change&beginsAnew != 0 || p.Gap && p.Change&mpegts.SetsChanged != 0
	if !isChange && !(w.changePending && p.RandomAccess) {
		return false
	}
	if !w.lastChange.IsZero() && p.ReceivedAt.Sub(w.lastChange) < minChangeInterval {
		w.changePending = true
		return false
	}
	w.lastChange, w.changePending = p.ReceivedAt, false
	return true
}
