package push

import (
	"errors"
	"log/slog"
	"sync"
	"time"
)

// statusLog logs how a destination is. More happens than the log takes, so each line sums up what has happened since
// the line before: how many outages ended, how long they lasted and what they cost. It ends with the present state.
type statusLog struct {
	to  string // the destination's name, which others may share
	key string
	log Log

	mu         sync.Mutex
	state      state
	err        error         // why the last connection or dial failed
	unreported bool          // no line has shown err
	loss       error         // why the last connection ended; nil once a line has shown it
	wait       time.Duration // before the next dial, in the state down
	// Of the outages that are over and in no line yet: how many, how long in all, and the bytes that they cost.
	outages  int
	downtime time.Duration
	dropped  int64
	// Of a slow link: the bytes that it cost and that are in no line yet, and what was held when it cost the last of
	// them.
	unreportedDrops, held int64
}

// state is how a destination is.
type state int

const (
	added state = iota // not dialled yet
	up
	down
	removed // final: later events are ignored
)

// added logs that the destination is new.
func (s *statusLog) added() { s.log.LogLatest(s.key, s.record) }

// removed logs that the destination gets no more than its current group of pictures.
func (s *statusLog) removed() { s.change(func() { s.state = removed }) }

// change makes a change and logs it.
func (s *statusLog) change(f func()) {
	s.mu.Lock()
	final := s.state == removed
	if !final {
		f()
	}
	s.mu.Unlock()
	if !final {
		s.log.LogLatest(s.key, s.record)
	}
}

// connected logs that there is a connection, after how long without one, and how many bytes that cost.
func (s *statusLog) connected(downtime time.Duration, dropped int64) {
	s.change(func() {
		s.state = up
		s.outages++
		s.downtime += downtime
		s.dropped += dropped
	})
}

// lost logs that there is no connection, why, and how long until the next dial.
func (s *statusLog) lost(err error, wait time.Duration) {
	s.change(func() {
		s.state, s.err, s.unreported, s.wait = down, err, true, wait
		if !isDialError(err) {
			s.loss = err
		}
	})
}

func isDialError(err error) bool {
	var dial *dialError
	return errors.As(err, &dial)
}

// slow logs that a connection was too slow for some bytes, which were dropped.
func (s *statusLog) slow(dropped, held int64) {
	s.mu.Lock()
	s.unreportedDrops += dropped
	s.held = held
	s.mu.Unlock()
	s.log.LogLatest("slow "+s.key, s.slowRecord)
}

// unconfirmed logs that a server that lives has confirmed nothing for some time.
func (s *statusLog) unconfirmed(bytes int64, after time.Duration) {
	s.log.Warn("unconfirmed "+s.key, "the server confirms nothing", "to", s.to, "unconfirmed", bytes,
		"for", after.Round(time.Millisecond), "hint",
		"it must answer a ping with a pong of the same payload, once it has read what "+
			"came before; a next hop that blocks answers late")
}

// record is the line about the state, for LogLatest.
func (s *statusLog) record() (level slog.Level, msg string, args []any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	level, args = slog.LevelInfo, []any{"to", s.to}
	switch s.state {
	case added:
		msg = "destination added"
	case up:
		msg = "connected"
	case down:
		level, msg, args = slog.LevelWarn, "connection lost", s.lossAttrs()
		if isDialError(s.err) {
			msg = "no connection"
		}
	case removed:
		msg = "destination removed"
	}
	if s.state == up || s.outages > 0 {
		args = append(args, "after", s.downtime.Round(time.Millisecond), "dropped", s.dropped)
	}
	if s.outages > 1 || s.state != up && s.outages > 0 {
		args = append(args, "outages", s.outages)
	}
	if s.state != down && s.unreported {
		args = append(args, "last_err", s.err)
	}
	if s.loss != nil && isDialError(s.err) {
		args = append(args, "lost", s.loss)
	}
	s.unreported, s.loss = false, nil
	s.outages, s.downtime, s.dropped = 0, 0, 0
	return level, msg, args
}

// lossAttrs returns why there is no connection, and what can be done.
func (s *statusLog) lossAttrs() []any {
	args := []any{"to", s.to, "err", s.err, "again_in", s.wait.Round(time.Millisecond)}
	if h := Hint(s.err); h != "" {
		args = append(args, "hint", h)
	}
	return args
}

func (s *statusLog) slowRecord() (slog.Level, string, []any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	args := []any{"to", s.to, "dropped", s.unreportedDrops, "held", s.held}
	s.unreportedDrops = 0
	return slog.LevelWarn, "the link is slower than the stream", args
}
