package cli

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// NewLogger logs to w in the form "text" or "json", with UTC times and the name of the tool in each line: several tools
// of one pipeline share a terminal. Quiet leaves errors.
func NewLogger(w io.Writer, tool, form string, quiet bool) *slog.Logger {
	options := &slog.HandlerOptions{
		Level: slog.LevelInfo,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
				a.Value = slog.TimeValue(a.Value.Time().UTC())
			}
			return a
		},
	}
	if quiet {
		options.Level = slog.LevelError
	}
	var h slog.Handler = slog.NewTextHandler(w, options)
	if form == "json" {
		h = slog.NewJSONHandler(w, options)
	}
	return slog.New(h).With("tool", tool)
}

// limitInterval is how often trouble of one kind is said.
const limitInterval = time.Second

// Limiter logs repeated trouble at most once a second for each key, and then says how often it was left out. Keys are
// few: kinds of trouble, or those for each destination. It is safe for concurrent use.
type Limiter struct {
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	keys map[string]*trouble
}

// trouble is what a Limiter knows of one key.
type trouble struct {
	said    time.Time
	leftOut int
	// The last that was left out.
	level slog.Level
	msg   string
	args  []any
}

// NewLimiter limits what is logged to log.
func NewLimiter(log *slog.Logger) *Limiter {
	return &Limiter{log: log, now: time.Now, keys: make(map[string]*trouble)}
}

// Warn logs a warning, or leaves it out.
func (l *Limiter) Warn(key, msg string, args ...any) { l.say(slog.LevelWarn, key, msg, args) }

// Warned is Warn for those who need to know whether it was left out.
func (l *Limiter) Warned(key, msg string, args ...any) (said bool) {
	return l.say(slog.LevelWarn, key, msg, args)
}

// Error logs an error, or leaves it out.
func (l *Limiter) Error(key, msg string, args ...any) { l.say(slog.LevelError, key, msg, args) }

// Warner is Warn for one source of trouble: the key is the source with the message.
func (l *Limiter) Warner(source string) func(msg string, args ...any) {
	return func(msg string, args ...any) { l.Warn(source+"\x00"+msg, msg, args...) }
}

func (l *Limiter) say(level slog.Level, key, msg string, args []any) (said bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.keys[key]
	if !ok {
		t = &trouble{}
		l.keys[key] = t
	}
	t.level, t.msg, t.args = level, msg, args
	if now := l.now(); !ok || now.Sub(t.said) >= limitInterval {
		t.said = now
		l.tell(t)
		return true
	}
	t.leftOut++
	return false
}

// tell logs t; l.mu is held.
func (l *Limiter) tell(t *trouble) {
	args := t.args
	if t.leftOut > 0 {
		args = append(args[:len(args):len(args)], "left_out", t.leftOut)
	}
	l.log.Log(context.Background(), t.level, t.msg, args...)
	t.leftOut, t.args = 0, nil
}

// Flush says what was left out and not told yet. Call it at the end.
func (l *Limiter) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.keys {
		if t.leftOut > 0 {
			// One of them is this line.
			t.leftOut--
			l.tell(t)
		}
	}
}
