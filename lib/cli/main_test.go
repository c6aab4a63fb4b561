package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	ucli "github.com/urfave/cli/v2"
	"go.uber.org/goleak"

	"github.com/timdrysdale/vw/internal/wake"
)

// helperVariable makes the test binary a vw tool: its value is the name of one of the helpers.
const helperVariable = "VW_CLI_TEST_HELPER"

func TestMain(m *testing.M) {
	if name := os.Getenv(helperVariable); name != "" {
		Main(&ucli.App{
			Name:   "vw-helper",
			Usage:  "be a process in a test",
			Flags:  CommonFlags(0),
			Action: helpers[name],
		})
	}
	goleak.VerifyTestMain(m)
}

// helpers are what the test binary can be. They report their progress on stderr, line by line.
var helpers = map[string]func(*ucli.Context) error{
	// copy copies standard input to standard output.
	"copy": func(*ucli.Context) error {
		in, err := OpenStdin()
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := OpenStdout()
		if err != nil {
			return err
		}
		defer out.Close()
		fmt.Println("not part of the stream")
		_, err = io.Copy(struct{ io.Writer }{out}, struct{ io.Reader }{in})
		return err
	},
	// gone waits for the reader of standard output to go, and then writes.
	"gone": func(*ucli.Context) error {
		out, err := OpenStdout()
		if err != nil {
			return err
		}
		defer out.Close()
		fmt.Fprintln(os.Stderr, "waiting")
		<-out.Gone()
		if _, err := out.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			return fmt.Errorf("write after the reader left: %w", err)
		}
		return errors.New("the reader has gone")
	},
	// close-stdin gives standard input up and lives on until the first signal.
	"close-stdin": func(*ucli.Context) error {
		stop := NotifyShutdown(nil)
		defer stop.Close()
		in, err := OpenStdin()
		if err != nil {
			return err
		}
		if err := in.Close(); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "closed")
		<-stop.Graceful().Done()
		return nil
	},
	// close-stdout gives standard output up and lives on until the first signal.
	"close-stdout": func(*ucli.Context) error {
		stop := NotifyShutdown(nil)
		defer stop.Close()
		if err := CloseStdout(); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "closed")
		<-stop.Graceful().Done()
		return nil
	},
	// stop prints the signals that come, until the second.
	"stop": func(*ucli.Context) error {
		stop := NotifyShutdown(nil)
		defer stop.Close()
		fmt.Fprintln(os.Stderr, "ready")
		<-stop.Graceful().Done()
		fmt.Fprintln(os.Stderr, context.Cause(stop.Graceful()))
		<-stop.Immediate().Done()
		return context.Cause(stop.Immediate())
	},
	// stderr writes to standard error until that fails, and says so on standard output.
	"stderr": func(*ucli.Context) error {
		for {
			if _, err := os.Stderr.WriteString("x\n"); err != nil {
				_, err = fmt.Println(err)
				return err
			}
		}
	},
	"processors": func(*ucli.Context) error {
		RestoreGOMAXPROCS(runtime.GOMAXPROCS(1))
		_, err := fmt.Println(runtime.GOMAXPROCS(0))
		return err
	},
}

// helper is a running helper process.
type helper struct {
	*exec.Cmd
	t      *testing.T
	stdout bytes.Buffer // unless Stdout was set
	lines  *bufio.Reader
	stderr string // what was not read by line
}

// command prepares a helper process. A wrapper is a shell script that ends with `exec "$0" "$@"`.
func command(t *testing.T, name, wrapper string, args ...string) *helper {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := &helper{t: t}
	if wrapper == "" {
		h.Cmd = exec.CommandContext(t.Context(), self, args...)
	} else {
		h.Cmd = exec.CommandContext(t.Context(), "/bin/sh", append([]string{"-c", wrapper, self}, args...)...)
	}
	// A process with the race detector sleeps for a second before it ends by default.
	h.Env = append(os.Environ(), helperVariable+"="+name, "GORACE=atexit_sleep_ms=0")
	h.Stdout = &h.stdout
	return h
}

func (h *helper) start() {
	h.t.Helper()
	stderr, err := h.StderrPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	h.lines = bufio.NewReader(stderr)
	if err := h.Start(); err != nil {
		h.t.Fatal(err)
	}
}

// expect waits for a line on standard error.
func (h *helper) expect(want string) {
	h.t.Helper()
	line, err := h.lines.ReadString('\n')
	if got := strings.TrimSuffix(line, "\n"); got != want {
		h.t.Fatalf("stderr: got line %q (%v), want %q", got, err, want)
	}
}

// wait waits for the end and returns the exit status.
func (h *helper) wait() int {
	h.t.Helper()
	rest, err := io.ReadAll(h.lines)
	if err != nil {
		h.t.Fatal(err)
	}
	h.stderr = string(rest)
	var exit *exec.ExitError
	if err := h.Wait(); err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	return h.ProcessState.ExitCode()
}

// result checks all that a finished helper left.
func (h *helper) result(status int, stdout, stderr string) {
	h.t.Helper()
	if got := h.wait(); got != status {
		h.t.Errorf("exit status: got %d (%v), want %d", got, h.ProcessState, status)
	}
	if got := h.stdout.String(); got != stdout {
		h.t.Errorf("stdout: got %q, want %q", got, stdout)
	}
	if h.stderr != stderr {
		h.t.Errorf("stderr: got %q, want %q", h.stderr, stderr)
	}
}

// lockedBuffer is a buffer that a goroutine may write while a test reads it.
type lockedBuffer struct {
	mu      sync.Mutex
	buffer  bytes.Buffer
	written wake.Signal // there were writes
}

func newLockedBuffer() *lockedBuffer { return &lockedBuffer{written: wake.New()} }

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.written.Set()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
