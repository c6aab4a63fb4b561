package vwtestserver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// asTool makes the test binary run as vw-testserver.
const asTool = "VW_TESTSERVER_TEST_AS_TOOL"

func TestMain(m *testing.M) {
	if os.Getenv(asTool) != "" {
		Main()
	}
	// With the race detector a process sleeps for a second at its end, which would be most of the tests' time.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	testscript.Main(leakChecked{m}, map[string]func(){name: Main})
}

// leakChecked fails if tests leave goroutines.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	status := l.m.Run()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// status N command… runs a command that must end with exit status N.
			"status": func(ts *testscript.TestScript, _ bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				got := 0
				var exit *exec.ExitError
				if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
					got = exit.ExitCode()
				} else {
					ts.Check(err)
				}
				if got != want {
					ts.Fatalf("exit status %d, want %d", got, want)
				}
			},
		},
	})
}

// deadline ends a test that has failed.
const deadline = time.Minute

// tool is a running vw-testserver.
type tool struct {
	*exec.Cmd
	t     *testing.T
	lines *bufio.Reader
	err   *os.File
	url   string
}

// start runs the tool and waits until it listens.
func start(t *testing.T, args ...string) *tool {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*deadline)
	t.Cleanup(cancel)
	tl := &tool{Cmd: exec.CommandContext(ctx, self, args...), t: t}
	tl.Env = append(os.Environ(), asTool+"=1")
	if tl.err, err = os.Create(t.TempDir() + "/stderr"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tl.err.Close() })
	tl.Stderr = tl.err
	out, err := tl.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	tl.lines = bufio.NewReaderSize(out, 1<<20)
	if err := tl.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if tl.ProcessState == nil {
			tl.Process.Kill()
			tl.Wait()
		}
	})
	tl.url = tl.line("listening")["url"].(string)
	return tl
}

// line reads a line of standard output, which must be this event.
func (tl *tool) line(event string) map[string]any {
	tl.t.Helper()
	text, err := tl.lines.ReadString('\n')
	if err != nil {
		tl.t.Fatalf("stdout: %v instead of %s; stderr: %s", err, event, tl.stderr())
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil || v["event"] != event {
		tl.t.Fatalf("stdout: %q instead of %s (%v)", text, event, err)
	}
	return v
}

// end waits for the end, with nothing more on standard output, and returns what is on standard error.
func (tl *tool) end(status int) string {
	tl.t.Helper()
	rest, err := io.ReadAll(tl.lines)
	if err != nil || len(rest) > 0 {
		tl.t.Errorf("stdout goes on: %q (%v)", rest, err)
	}
	var exit *exec.ExitError
	if err := tl.Wait(); err != nil && !errors.As(err, &exit) {
		tl.t.Fatal(err)
	}
	if got := tl.ProcessState.ExitCode(); got != status {
		tl.t.Errorf("exit status %d (%v), want %d; stderr: %s", got, tl.ProcessState, status, tl.stderr())
	}
	return tl.stderr()
}

func (tl *tool) stderr() string {
	b, err := os.ReadFile(tl.err.Name())
	if err != nil {
		tl.t.Fatal(err)
	}
	return string(b)
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

func dial(t *testing.T, url string, o wsconn.DialOptions) *wsconn.Conn {
	t.Helper()
	c, err := wsconn.Dial(testContext(t), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseNow)
	c.Discard()
	return c
}

func publish(t *testing.T, url string, o wsconn.DialOptions, data []byte) {
	t.Helper()
	c := dial(t, url, o)
	if err := c.Write(testContext(t), data); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(testContext(t), 1000, ""); err != nil {
		t.Fatal(err)
	}
}
