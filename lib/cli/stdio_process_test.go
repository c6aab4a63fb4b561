package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestStdio(t *testing.T) {
	t.Parallel()
	hint := "vw-helper: hint: pipe a stream in: ffmpeg -i … -f mpegts - | " + filepath.Base(os.Args[0]) + " …\n"
	for name, tc := range map[string]struct {
		wrapper string
		status  int
		stdout  string
		stderr  string
	}{
		"pipe":    {wrapper: `printf abc | "$0" "$@" | cat`, stdout: "abc"},
		"nothing": {wrapper: `exec "$0" "$@" </dev/null`},
		"closed stdin": {wrapper: `exec "$0" "$@" <&-`, status: 1,
			stderr: "vw-helper: error: standard input is closed\n" + hint},
		"only what the tool reads is taken": {wrapper: `printf 'abc\ndef\n' >f; (read x; "$0" "$@"; echo $x) <f; rm f`,
			stdout: "def\nabc\n"},
		"one file after another": {wrapper: `(echo abc; echo def | "$0" "$@") >f; cat f; rm f`, stdout: "abc\ndef\n"},
		"a folder": {wrapper: `exec "$0" "$@" </`, status: 1,
			stderr: "vw-helper: error: read standard input: is a directory\n"},
		"a full disk": {wrapper: `echo abc | "$0" "$@" >/dev/full`, status: 1,
			stderr: "vw-helper: error: write standard output: no space left on device\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := command(t, "copy", tc.wrapper)
			h.Dir = t.TempDir()
			h.start()
			h.result(tc.status, tc.stdout, tc.stderr)
		})
	}
}

func TestPipeline(t *testing.T) {
	t.Parallel()
	h := command(t, "copy", `"$0" "$@" | "$0" "$@" | "$0" "$@"`)
	want := bytes.Repeat([]byte("0123456789"), 500_000)
	h.Stdin = bytes.NewReader(want)
	h.start()
	h.result(0, string(want), "")
}

func TestReaderOfStdoutGoes(t *testing.T) {
	r, w := pipe(t)
	h := command(t, "gone", "")
	h.Stdout = w
	h.start()
	w.Close()
	h.expect("waiting")
	r.Close()
	h.result(ExitFailed, "", "vw-helper: error: the reader has gone\n")
}

func TestStdinGivenUp(t *testing.T) {
	r, w := pipe(t)
	h := command(t, "close-stdin", "")
	h.Stdin = r
	h.start()
	r.Close()
	h.expect("closed")
	if _, err := w.WriteString("x"); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("the writer: got %v, want %v", err, syscall.EPIPE)
	}
	h.Process.Signal(syscall.SIGTERM)
	h.result(0, "", "")
}

func TestStdoutGivenUp(t *testing.T) {
	r, w := pipe(t)
	h := command(t, "close-stdout", "")
	h.Stdout = w
	h.start()
	w.Close()
	h.expect("closed")
	if got, err := io.ReadAll(r); err != nil || len(got) != 0 {
		t.Errorf("the reader: got %q, %v; want the end", got, err)
	}
	h.Process.Signal(syscall.SIGTERM)
	h.result(0, "", "")
}

func TestBrokenStderrDoesNotKill(t *testing.T) {
	h := command(t, "stderr", `{ "$0" "$@"; echo "status $?"; } 2>&1 >&3 3>&- | head -n 1 >/dev/null`)
	r, w := pipe(t)
	h.ExtraFiles = []*os.File{w}
	h.start()
	w.Close()
	got, err := io.ReadAll(r)
	if want := "write /dev/stderr: broken pipe\nstatus 0\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	h.result(0, "", "")
}

func TestSingleProcessor(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{"": "1\n", "GOMAXPROCS=3": "3\n"} {
		h := command(t, "processors", "")
		h.Env = append(h.Env, "GOMAXPROCS=")
		if setting != "" {
			h.Env = append(h.Env, setting)
		}
		h.start()
		h.result(0, want, "")
	}
}
