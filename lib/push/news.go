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
	up     bool
	err    error         // why there was no connection when there was none last
	untold bool          // no line has told err
	wait   time.Duration // before the next dial, unless up
	// Of the outages that are over, and that no line has told of: how many, how long in all, and the bytes they cost.
	outages int
	without time.Duration
	dropped int64
	// Of a slow link: the bytes it cost, of which no line has told, and what was held when it cost the last of them.
	tooSlow, held int64
}

// connected says that there is a connection, without how long there was none, and how many bytes that cost.
func (n *news) connected(without time.Duration, dropped int64) {
	n.mu.Lock()
	n.up = true
	n.outages++
	n.without += without
	n.dropped += dropped
	n.mu.Unlock()
	n.log.Tell("connection "+n.key, n.line)
}

// lost says that there is no connection, why, and when the next one will be tried.
func (n *news) lost(err error, wait time.Duration) {
	n.mu.Lock()
	n.up, n.err, n.untold, n.wait = false, err, true, wait
	n.mu.Unlock()
	n.log.Tell("connection "+n.key, n.line)
}

// slow says that a connection had no time or room for some bytes.
func (n *news) slow(dropped, held int64) {
	n.mu.Lock()
	n.tooSlow += dropped
	n.held = held
	n.mu.Unlock()
	n.log.Tell("slow "+n.key, n.slowLine)
}

// line tells whether there is a connection.
func (n *news) line() (level slog.Level, msg string, args []any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var dial *dialError
	switch {
	case n.up:
		level, msg, args = slog.LevelInfo, "connected", []any{"to", n.to}
	case errors.As(n.err, &dial):
		level, msg, args = slog.LevelWarn, "no connection", n.loss()
	default:
		level, msg, args = slog.LevelWarn, "connection lost", n.loss()
	}
	if n.up || n.outages > 0 {
		args = append(args, "after", n.without.Round(time.Millisecond), "dropped", n.dropped)
	}
	if n.outages > 1 || !n.up && n.outages > 0 {
		args = append(args, "outages", n.outages)
	}
	if n.up && n.untold {
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
