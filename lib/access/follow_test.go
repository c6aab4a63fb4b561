package access

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	// As an editor does: a new file takes the old one's name.
	next := path + ".new"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

func request(token string) *http.Request {
	r, _ := http.NewRequest("POST", "http://host/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func openTokens(t *testing.T, text string) (*Tokens, string, *logBuffer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	writeFile(t, path, text)
	log := newLog()
	tokens, err := OpenTokens(path, log)
	if err != nil {
		t.Fatal(err)
	}
	return tokens, path, log
}

func TestTokensFollowTheirFile(t *testing.T) {
	tokens, path, log := openTokens(t, "cam1:one\ncam2:two\n")
	one, ok := tokens.Match(request("one"), Bearer)
	two, ok2 := tokens.Match(request("two"), FirstPathElement, Bearer)
	if !ok || !ok2 || one.Name() != "cam1" || two.Name() != "cam2" {
		t.Fatalf("%v %v", one, two)
	}
	calls := 0
	cancel := tokens.Subscribe(func() { calls++ })
	writeFile(t, path, "cam1:three\nrenamed:two\n")
	if _, ok := tokens.Match(request("three"), Bearer); !ok {
		t.Error("a new token is not in force at the next handshake")
	}
	if tokens.Has(one) || !tokens.Has(two) || calls != 1 {
		t.Errorf("one is in force: %v, two: %v, calls: %d", tokens.Has(one), tokens.Has(two), calls)
	}
	cancel()
	writeFile(t, path, "four")
	tokens.Reload()
	if tokens.Has(two) || calls != 1 {
		t.Errorf("two is in force: %v, calls: %d", tokens.Has(two), calls)
	}
	if text := log.String(); strings.Contains(text, "three") || strings.Contains(text, "four") {
		t.Errorf("the log shows a token: %s", text)
	}
}

func TestBadTokenFileChangesNothing(t *testing.T) {
	tokens, path, log := openTokens(t, "one")
	cancel := tokens.Subscribe(func() { t.Error("a subscriber was called without a change") })
	defer cancel()
	for _, text := range []string{"", "se cret", "one\none"} {
		writeFile(t, path, text)
		tokens.Reload()
		tokens.Reload()
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	tokens.Reload()
	tokens.Reload()
	if _, ok := tokens.Match(request("one"), Bearer); !ok {
		t.Error("the token before is not in force")
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 4 {
		t.Errorf("%d errors, not one for each state:\n%s", n, log)
	}
}

func TestFollow(t *testing.T) {
	tokens, path, _ := openTokens(t, "one")
	one, _ := tokens.Match(request("one"), Bearer)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { tokens.follow(ctx, time.Millisecond) })
	// In place, with size and time as they were: only reading the file shows it.
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	testwait.Eventually(t, "the removed token is not in force", func() bool { return !tokens.Has(one) })
	cancel()
	running.Wait()
}

func TestTokenWarnings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	log := newLog()
	if _, err := OpenTokens(path, log); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, "others may read") || !strings.Contains(text, "one character") {
		t.Errorf("log: %s", text)
	}
	if _, err := FixedTokens("$VW_TOKEN", "a b", log); err == nil ||
		!strings.Contains(err.Error(), "$VW_TOKEN: line 1") {
		t.Errorf("error: %v", err)
	}
	fixed, err := FixedTokens("$VW_TOKEN", "cam1:secret\n", log)
	if err != nil {
		t.Fatal(err)
	}
	if token, ok := fixed.Match(request("secret"), Bearer); !ok || token.Name() != "cam1" {
		t.Errorf("%v, %v", token, ok)
	}
	fixed.Reload()
	fixed.Follow(t.Context()) // returns: there is nothing to follow
}
