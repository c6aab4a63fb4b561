package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/internal/testwait"
)

// terminal is a pseudo-terminal with what was written to it.
type terminal struct {
	*output
	tty *os.File
}

func openTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 25, Col: 200})
	}
	var tty *os.File
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	v := &terminal{output: newOutput(), tty: tty}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			if err != nil {
				return
			}
			_, _ = v.Write(b[:n])
		}
	}()
	t.Cleanup(func() { tty.Close(); <-done; master.Close() }) // the last one that has it open ends the reading
	return v
}

// start starts a tool whose standard error is the terminal.
func (v *terminal) start(t *testing.T, stdin *os.File, env, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(tool(t, name), args...)
	cmd.Stdin, cmd.Stderr = stdin, v.tty
	cmd.Env = append(os.Environ(), env)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func (v *terminal) shows(t *testing.T, text string) {
	t.Helper()
	testwait.Eventually(t, fmt.Sprintf("%q is shown", text), func() bool { return strings.Contains(v.String(), text) })
}

// lines are what stands on the terminal in the end: a line that was erased does not.
func (v *terminal) lines() (all []string) {
	for line := range strings.SplitSeq(v.String(), "\n") {
		line = strings.TrimSuffix(line, "\r")
		all = append(all, line[strings.LastIndex(line, "\r\x1b[K")+1:])
	}
	return all
}

// TestProgress: of two tools on one terminal one shows a line, until it ends; then the other one does. The line is gone
// in the end, and the lines of the log are whole.
func TestProgress(t *testing.T) {
	t.Parallel()
	v := openTerminal(t)
	in, w := pipe(t)
	stopped, w2 := pipe(t)
	first := v.start(t, in, "TERM=xterm", "vw-record", "--progress", "--live", t.TempDir()+"/a.ts")
	if _, err := w.Write(read(t, sample("mpeg1.ts"))[:188*100]); err != nil {
		t.Fatal(err)
	}
	v.shows(t, "Mbit/s")
	second := v.start(t, stopped, "TERM=xterm", "vw-push", "--progress", "--live", "--listen", "127.0.0.1:0")
	v.shows(t, "listening for viewers")
	if err := first.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	v.shows(t, `"tool":"vw-record"`)
	if strings.Contains(v.String(), "vw-push 0") || strings.Contains(v.String(), "vw-push 1") {
		t.Error("both draw")
	}
	w.Close()
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
	v.shows(t, "viewers: 0 viewers")
	w2.Close()
	if err := second.Wait(); err != nil {
		t.Error(err)
	}
	testwait.Eventually(t, "the line is gone", func() bool {
		return !strings.Contains(strings.Join(v.lines(), "\n"), "Mbit/s")
	})
	for _, line := range v.lines() {
		if strings.Contains(line, `"tool"`) && !strings.HasPrefix(line, "\x1b[K{") {
			t.Errorf("the ledger is mixed into it: %q", line)
		}
	}
}

// TestProgressNotShown: there is no line where it could not be erased.
func TestProgressNotShown(t *testing.T) {
	t.Parallel()
	v := openTerminal(t)
	b := read(t, sample("mpeg1.ts"))
	for _, term := range []string{"TERM=dumb", "TERM="} {
		in, w := pipe(t)
		before := strings.Count(v.String(), "msg=stats")
		p := v.start(t, in, term, "vw-record", "--progress", "--stats", "20ms", t.TempDir()+"/a.ts")
		_, _ = w.Write(b[:1880])
		testwait.Eventually(t, "a line is logged", func() bool {
			return strings.Count(v.String(), "msg=stats") > before
		})
		w.Close()
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	}
	if strings.Contains(v.String(), "\x1b") {
		t.Errorf("on a dumb terminal: %q", v)
	}
	p := start(t, wiring{stdin: bytes.NewReader(b), env: []string{"TERM=xterm"}}, "vw-record", "--progress",
		t.TempDir()+"/a.ts")
	p.expect(0)
	if strings.Contains(p.stderr.String(), "\x1b") {
		t.Errorf("in a file: %q", p.stderr)
	}
}
