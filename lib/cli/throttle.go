package cli

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// throttleInterval is the shortest time between two lines of a ThrottledLogger.
const throttleInterval = time.Second

// ThrottledLogger writes at most one line a second, over all keys, so that a log stays readable and small whatever goes
// wrong and in how many places. A line that comes too soon waits. Of each key only the last line waits, and keys take
// turns, so in the end the log has the latest state of everything. A line that waited says how many others it replaced
// ("left_out") and how old it is ("ago"). The time of a line is that of what happened. Keys are few: kinds of problems,
// or those for each destination. It is safe for concurrent use.
type ThrottledLogger struct {
	log *slog.Logger

	mu    sync.Mutex
	free  time.Time   // when the next line may be written
	held  []*heldLine // lines that wait for that, in the order of their turns; one for each key
	timer *time.Timer // calls next; nil when nothing is held
}

// heldLine is the last line for a key. It replaces those before it.
type heldLine struct {
	key     string
	line    Record
	at      time.Time
	leftOut int
}

// Record is a line of a log, made when it is logged. It must not call the ThrottledLogger.
type Record = func() (level slog.Level, msg string, args []any)

// NewThrottledLogger limits what is logged to log.
func NewThrottledLogger(log *slog.Logger) *ThrottledLogger { return &ThrottledLogger{log: log} }

// Info logs at level info, now or later.
func (l *ThrottledLogger) Info(key, msg string, args ...any) {
	l.LogLatest(key, plainLine(slog.LevelInfo, msg, args))
}

// Warn logs at level warn, now or later.
func (l *ThrottledLogger) Warn(key, msg string, args ...any) {
	l.LogLatest(key, plainLine(slog.LevelWarn, msg, args))
}

// Error logs at level error, now or later.
func (l *ThrottledLogger) Error(key, msg string, args ...any) {
	l.LogLatest(key, plainLine(slog.LevelError, msg, args))
}

func plainLine(level slog.Level, msg string, args []any) Record {
	return func() (slog.Level, string, []any) { return level, msg, args }
}

// LogLatest logs the line now or later. It replaces a line of the same key that waits, in its place in the order.
func (l *ThrottledLogger) LogLatest(key string, line Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if i := slices.IndexFunc(l.held, func(h *heldLine) bool { return h.key == key }); i >= 0 {
		h := l.held[i]
		h.line, h.at = line, now
		h.leftOut++
		return
	}
	h := &heldLine{key: key, line: line, at: now}
	if len(l.held) == 0 && !now.Before(l.free) {
		l.logLine(h)
		return
	}
	l.held = append(l.held, h)
	if l.timer == nil {
		l.timer = time.AfterFunc(l.free.Sub(now), l.next)
	}
}

// next logs the line whose turn it is.
func (l *ThrottledLogger) next() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.held) > 0 && !time.Now().Before(l.free) {
		h := l.held[0]
		l.held = l.held[1:]
		l.logLine(h)
	}
	l.timer = nil
	if len(l.held) > 0 {
		l.timer = time.AfterFunc(time.Until(l.free), l.next)
	}
}

// logLine logs h; l.mu is held. A line below the level of the log does not delay the next one.
func (l *ThrottledLogger) logLine(h *heldLine) {
	level, msg, args := h.line()
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	r := slog.NewRecord(h.at, level, msg, 0) // the time of what happened, however late the line
	r.Add(args...)
	if h.leftOut > 0 {
		r.Add("left_out", h.leftOut)
	}
	if ago := time.Since(h.at).Round(10 * time.Millisecond); ago > 0 {
		r.Add("ago", ago)
	}
	_ = l.log.Handler().Handle(context.Background(), r)
	l.free = time.Now().Add(throttleInterval)
}

// Flush logs all lines that wait, without a delay. Call it at the end.
func (l *ThrottledLogger) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.held {
		l.logLine(h)
	}
	l.held = nil
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

// For returns a log whose lines are throttled. The key of a line is source with the message.
func (l *ThrottledLogger) For(source string) Scoped { return Scoped{l, source} }

// Scoped logs for one source; see For.
type Scoped struct {
	logger *ThrottledLogger
	name   string
}

// Info logs at level info, now or later.
func (s Scoped) Info(msg string, args ...any) { s.logger.Info(s.key(msg), msg, args...) }

// Warn logs at level warn, now or later.
func (s Scoped) Warn(msg string, args ...any) { s.logger.Warn(s.key(msg), msg, args...) }

// Error logs at level error, now or later.
func (s Scoped) Error(msg string, args ...any) { s.logger.Error(s.key(msg), msg, args...) }

func (s Scoped) key(msg string) string { return s.name + "\x00" + msg }
