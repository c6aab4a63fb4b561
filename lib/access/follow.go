package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// followInterval is how often Follow reads a token file.
	followInterval = 5 * time.Second
	// maxTokenFile is far more than any list of tokens, in bytes, and keeps /dev/zero from being one.
	maxTokenFile = 1 << 20
)

// Log takes what the owner of the tokens should know. Its methods are those of slog.Logger.
type Log interface {
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
}

// Tokens are the tokens in force. Those of a file follow it: Follow reads it every five seconds, Match when the file
// looks changed, and Reload when it is called. A file that has become bad changes nothing and is reported once.
type Tokens struct {
	path string // "": the tokens never change
	log  Log
	set  atomic.Pointer[Set]

	reading sync.Mutex // held while the file is read; protects the next three
	seen    fs.FileInfo
	text    []byte // of the file when it was last read
	failure string // what was last reported

	mu          sync.Mutex
	subscribers map[*func()]struct{}
}

// OpenTokens reads a token file. Its errors name the file and the line, and never show a token.
func OpenTokens(path string, log Log) (*Tokens, error) {
	t := &Tokens{path: path, log: log}
	info, text, err := readTokenFile(path)
	if err != nil {
		return nil, err
	}
	set, err := ParseTokens(text)
	if err != nil {
		return nil, fmt.Errorf("read tokens from %s: %w", path, err)
	}
	t.seen, t.text = info, text
	t.take(set)
	return t, nil
}

// FixedTokens reads tokens from a text, such as a variable of the environment, whose name the error mentions.
func FixedTokens(name, text string, log Log) (*Tokens, error) {
	set, err := ParseTokens([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("read tokens from %s: %w", name, err)
	}
	t := &Tokens{log: log}
	for _, w := range set.Warnings {
		log.Warn("weak token", "source", name, "warning", w)
	}
	t.set.Store(set)
	return t, nil
}

func readTokenFile(path string) (fs.FileInfo, []byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read tokens: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("read tokens: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxTokenFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read tokens: %w", err)
	}
	if len(text) > maxTokenFile {
		return nil, nil, fmt.Errorf("read tokens: %s is longer than %d bytes", path, maxTokenFile)
	}
	return info, text, nil
}

// take puts a set into force. t.reading is held, or t is not shared yet.
func (t *Tokens) take(set *Set) {
	if mode := t.seen.Mode(); mode.IsRegular() && mode.Perm()&0o004 != 0 {
		t.log.Warn("others may read the token file", "file", t.path, "mode", fmt.Sprintf("%04o", mode.Perm()))
	}
	for _, w := range set.Warnings {
		t.log.Warn("weak token", "source", t.path, "warning", w)
	}
	t.set.Store(set)
}

// Match returns the token that the request shows in one of the places, if it is in force.
func (t *Tokens) Match(r *http.Request, places ...Place) (Token, bool) {
	t.checkFile()
	set := t.set.Load()
	for _, place := range places {
		if shown := place(r); shown != "" {
			if token, ok := set.Match(shown); ok {
				return token, true
			}
		}
	}
	return Token{}, false
}

// Has reports whether a token that Match returned is still in force.
func (t *Tokens) Has(token Token) bool { return t.set.Load().Has(token) }

// Subscribe calls changed, from any goroutine, whenever other tokens have come into force: the subscriber asks Has
// about its own. Whoever Match let in before Subscribe returned has to ask once by itself. cancel ends the calls; one
// may still be under way when it returns.
func (t *Tokens) Subscribe(changed func()) (cancel func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.subscribers == nil {
		t.subscribers = map[*func()]struct{}{}
	}
	t.subscribers[&changed] = struct{}{}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.subscribers, &changed)
	}
}

// Follow reads the file every five seconds until ctx ends.
func (t *Tokens) Follow(ctx context.Context) { t.follow(ctx, followInterval) }

func (t *Tokens) follow(ctx context.Context, interval time.Duration) {
	if t.path == "" {
		return
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.Reload()
		case <-ctx.Done():
			return
		}
	}
}

// Reload reads the file now.
func (t *Tokens) Reload() {
	if t.path == "" {
		return
	}
	t.reading.Lock()
	defer t.reading.Unlock()
	t.read()
}

// checkFile reads the file if it looks changed. It never waits: while another goroutine reads, the tokens before
// count.
func (t *Tokens) checkFile() {
	if t.path == "" || !t.reading.TryLock() {
		return
	}
	defer t.reading.Unlock()
	if info, err := os.Stat(t.path); err == nil && !looksSame(info, t.seen) { // Follow reports a file that is gone
		t.read()
	}
}

func looksSame(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// read reads the file, and puts its tokens into force if they are others. t.reading is held.
func (t *Tokens) read() {
	info, text, err := readTokenFile(t.path)
	if err == nil {
		t.seen = info
		if bytes.Equal(text, t.text) {
			t.failure = ""
			return
		}
		var set *Set
		if set, err = ParseTokens(text); err == nil {
			t.text, t.failure = text, ""
			t.take(set)
			t.log.Info("tokens read again", "file", t.path, "tokens", len(set.tokens))
			t.notify()
			return
		}
	}
	if err.Error() == t.failure {
		return
	}
	t.failure = err.Error()
	args := []any{"file", t.path, "err", err}
	var bad *LineError
	if errors.As(err, &bad) && bad.Hint != "" {
		args = append(args, "hint", bad.Hint)
	}
	t.log.Error("token file not taken; the tokens before it stay in force", args...)
}

func (t *Tokens) notify() {
	t.mu.Lock()
	all := make([]*func(), 0, len(t.subscribers))
	for s := range t.subscribers {
		all = append(all, s)
	}
	t.mu.Unlock()
	for _, s := range all {
		(*s)()
	}
}

// Known reports whether a text is one of the tokens: whatever shows it must not be logged.
func (t *Tokens) Known(text string) bool {
	_, ok := t.set.Load().Match(text)
	return ok
}
