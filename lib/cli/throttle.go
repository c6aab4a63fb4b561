package cli

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// throttleInterval is the least time between two lines of a Limiter.
const throttleInterval = time.Second

// ThrottledLogger logs what may happen as often as a network, a disk or a stranger likes: a line a second at most in
// all, so that a log stays readable, and small, whatever goes wrong and in how many places. What comes too soon is held
// until its turn, the last line for each key: the latest state of everything is told in the end. Such a line says how
// many others it stands for ("left_out"), and how old it is ("ago"). Keys are few: kinds of trouble, or those for each
// destination. A Limiter is safe for concurrent use.
type ThrottledLogger struct {
	log *slog.Logger

	mu    sync.Mutex
	free  time.Time   // when the next line may be told
	held  []*heldLine // what waits for that, in the order in which it is told; one for each key
	timer *time.Timer // tells it; nil when nothing is held
}

// heldLine is the last line for a key, and stands for those before it.
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

// Info says how things are.
func (l *ThrottledLogger) Info(key, msg string, args ...any) {
	l.LogLatest(key, plainLine(slog.LevelInfo, msg, args))
}

// Warn says what is wrong.
func (l *ThrottledLogger) Warn(key, msg string, args ...any) {
	l.LogLatest(key, plainLine(slog.LevelWarn, msg, args))
}

// Error says what failed.
func (l *ThrottledLogger) Error(key, msg string, args ...any) {
	l.LogLatest(key, plainLine(slog.LevelError, msg, args))
}

func plainLine(level slog.Level, msg string, args []any) Record {
	return func() (slog.Level, string, []any) { return level, msg, args }
}

// LogLatest logs the line now or later. It takes the place, and the turn, of one that waits with the same key.
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

// next tells the line whose turn it is.
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

// logLine logs h; l.mu is held. What the logger does not let through takes no other line's place.
func (l *ThrottledLogger) logLine(h *heldLine) {
	level, msg, args := h.line()
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	args = slices.Clip(args)
	if h.leftOut > 0 {
		args = append(args, "left_out", h.leftOut)
	}
	if ago := time.Since(h.at).Round(10 * time.Millisecond); ago > 0 {
		args = append(args, "ago", ago)
	}
	l.log.Log(context.Background(), level, msg, args...)
	l.free = time.Now().Add(throttleInterval)
}

// Flush tells all that is held, at once. Call it at the end.
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

// For is the Limiter as a log: the key of a line is its message, with the source.
func (l *ThrottledLogger) For(source string) Scoped { return Scoped{l, source} }

// Scoped is what has lines for a Limiter; see By.
type Scoped struct {
	logger *ThrottledLogger
	name   string
}

// Info says how things are.
func (s Scoped) Info(msg string, args ...any) { s.logger.Info(s.key(msg), msg, args...) }

// Warn says what is wrong.
func (s Scoped) Warn(msg string, args ...any) { s.logger.Warn(s.key(msg), msg, args...) }

// Error says what failed.
func (s Scoped) Error(msg string, args ...any) { s.logger.Error(s.key(msg), msg, args...) }

func (s Scoped) key(msg string) string { return s.name + "\x00" + msg }
