package listen

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/timdrysdale/vw/lib/fdio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	for _, c := range []struct {
		value    string
		mode     fs.FileMode
		loopback bool
	}{
		{value: "127.0.0.1:8081", loopback: true},
		{value: "[::1]:8081", loopback: true},
		{value: ":8081"},
		{value: "0.0.0.0:8081"},
		{value: "unix:/run/vw/s", mode: 0o600, loopback: true},
		{value: "unix:s", mode: 0o640, loopback: true},
		{value: "unix:s", mode: 0o660},
		{value: "unix:s", mode: 0o602},
		{value: "fd:3", loopback: true}, // Open finds out
	} {
		a, err := Parse(c.value)
		if err != nil || a.Loopback(c.mode) != c.loopback || a.String() != c.value {
			t.Errorf("%s: loopback %v, %v", c.value, a.Loopback(c.mode), err)
		}
	}
	for _, value := range []string{"", "nonsense", "127.0.0.1:nonsense", "http://127.0.0.1:1/", "unix:",
		"unix:@abstract", "fd:", "fd:x", "fd:2", "fd:-1"} {
		_, err := Parse(value)
		var bad *SyntaxError
		if !errors.As(err, &bad) || bad.Hint == "" {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func open(t *testing.T, value string, mode fs.FileMode) *Listener {
	t.Helper()
	a, err := Parse(value)
	if err != nil {
		t.Fatal(err)
	}
	l, err := a.Open(mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// greet sends a word through the listener.
func greet(t *testing.T, l *Listener) net.Conn {
	t.Helper()
	client, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var word [5]byte
	if _, err := server.Read(word[:]); err != nil || string(word[:]) != "hello" {
		t.Errorf("read %q, %v", word, err)
	}
	return server
}

func TestTCP(t *testing.T) {
	l := open(t, "127.0.0.1:0", 0)
	conn := greet(t, l)
	if _, ok := conn.(*fdio.Conn); !ok || !l.Loopback {
		t.Errorf("a connection is %T, loopback %v", conn, l.Loopback)
	}
	if url := l.URL("https"); url != "https://"+l.Addr().String()+"/" {
		t.Errorf("URL %s", url)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for _, mode := range []fs.FileMode{0o600, 0o660} {
		l := open(t, "unix:"+path, mode)
		greet(t, l)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != mode || l.Loopback != (mode == 0o600) || l.URL("http") != "unix:"+path {
			t.Errorf("mode %v, loopback %v, URL %s, %v", info.Mode(), l.Loopback, l.URL("http"), err)
		}
		a, _ := Parse("unix:" + path)
		if _, err := a.Open(mode); err == nil {
			t.Error("a socket that somebody listens on was taken away")
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("left behind: %v", err)
		}
	}
}

func TestStaleUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	killed.SetUnlinkOnClose(false)
	_ = killed.Close()
	first := open(t, "unix:"+path, DefaultMode)
	greet(t, first)

	// Another process put its own socket there: that stays.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second := open(t, "unix:"+path, DefaultMode)
	_ = first.Close()
	greet(t, second)
}

func TestUnixSocketTouchesNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, _ := Parse("unix:" + path)
	if _, err := a.Open(DefaultMode); err == nil {
		t.Error("a file was taken for a stale socket")
	}
	if text, err := os.ReadFile(path); string(text) != "content" {
		t.Errorf("%q, %v", text, err)
	}
	long, _ := Parse("unix:" + filepath.Join(t.TempDir(), strings.Repeat("n", 120)))
	if _, err := long.Open(DefaultMode); err == nil || !strings.Contains(err.Error(), "100 bytes") {
		t.Errorf("a path that is too long: %v", err)
	}
}

func TestOpenSocket(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, "fd:"+strconv.Itoa(int(f.Fd())), 0) // which closes f
	greet(t, l)
	if !l.Loopback {
		t.Error("it is on loopback")
	}
	a, _ := Parse("fd:999")
	if _, err := a.Open(0); err == nil || !strings.Contains(err.Error(), "descriptor 999") {
		t.Errorf("a descriptor that is not open: %v", err)
	}
}

func TestInherited(t *testing.T) {
	env := map[string]string{"LISTEN_FDS": "2", "LISTEN_PID": strconv.Itoa(os.Getpid())}
	lookup := func(name string) string { return env[name] }
	if all := Inherited(lookup); len(all) != 2 || all[0].fd != 3 || all[1].fd != 4 {
		t.Errorf("%v", all)
	}
	env["LISTEN_PID"] = "1"
	if all := Inherited(lookup); all != nil {
		t.Errorf("those of another process: %v", all)
	}
}
