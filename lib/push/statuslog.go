package push

import (
	"errors"
	"log/slog"
	"sync"
	"time"
)

// news is what is to be told of a destination. There may be more of it than the log takes: a line sums up what has
// happened since the one before it, so that losses, their time and their cost are told in full, and ends with how
// things are.
type news struct {
	to  string // the destination's name, which others may have too
	key string
	log Log

	mu     sync.Mutex
	state  state
	err    error         // why there was no connection when there was none last
	untold bool          // no line has told err
	wait   time.Duration // before the next dial, in the state down
	// Of the outages that are over, and that no line has told of: how many, how long in all, and the bytes they cost.
	outages int
	without time.Duration
	dropped int64
	// Of a slow link: the bytes it cost, of which no line has told, and what was held when it cost the last of them.
	tooSlow, held int64
}

// state is how things are.
type state int

const (
	added state = iota // nothing has been tried yet
	up
	down
	removed // the last: what happens then is nobody's concern any more
)

// added says that the destination is new.
func (n *news) added() { n.log.LogLatest(n.key, n.line) }

// removed says that the destination is to have no more than its current group of pictures.
func (n *news) removed() { n.change(func() { n.state = removed }) }

// change makes a change, and tells of it.
func (n *news) change(f func()) {
	n.mu.Lock()
	over := n.state == removed
	if !over {
		f()
	}
	n.mu.Unlock()
	if !over {
		n.log.LogLatest(n.key, n.line)
	}
}

// connected says that there is a connection, without how long there was none, and how many bytes that cost.
func (n *news) connected(without time.Duration, dropped int64) {
	n.change(func() {
		n.state = up
		n.outages++
		n.without += without
		n.dropped += dropped
	})
}

// lost says that there is no connection, why, and when the next one will be tried.
func (n *news) lost(err error, wait time.Duration) {
	n.change(func() { n.state, n.err, n.untold, n.wait = down, err, true, wait })
}

// slow says that a connection had no time or room for some bytes.
func (n *news) slow(dropped, held int64) {
	n.mu.Lock()
	n.tooSlow += dropped
	n.held = held
	n.mu.Unlock()
	n.log.LogLatest("slow "+n.key, n.slowLine)
}

// line tells how things are.
func (n *news) line() (level slog.Level, msg string, args []any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	level, args = slog.LevelInfo, []any{"to", n.to}
	switch n.state {
	case added:
		msg = "destination added"
	case up:
		msg = "connected"
	case down:
		level, msg, args = slog.LevelWarn, "connection lost", n.loss()
		var dial *dialError
		if errors.As(n.err, &dial) {
			msg = "no connection"
		}
	case removed:
		msg = "destination removed"
	}
	if n.state == up || n.outages > 0 {
		args = append(args, "after", n.without.Round(time.Millisecond), "dropped", n.dropped)
	}
	if n.outages > 1 || n.state != up && n.outages > 0 {
		args = append(args, "outages", n.outages)
	}
	if n.state != down && n.untold {
		args = append(args, "last_err", n.err)
	}
	n.untold = false
	n.outages, n.without, n.dropped = 0, 0, 0
	return level, msg, args
}

// loss is why there is no connection, and what can be done.
func (n *news) loss() []any {
	args := []any{"to", n.to, "err", n.err, "again_in", n.wait.Round(time.Millisecond)}
	if h := Hint(n.err); h != "" {
		args = append(args, "hint", h)
	}
	return args
}

func (n *news) slowLine() (slog.Level, string, []any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	args := []any{"to", n.to, "dropped", n.tooSlow, "held", n.held}
	n.tooSlow = 0
	return slog.LevelWarn, "the link is slower than the stream", args
}
