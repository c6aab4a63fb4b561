package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func terminal(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	return slave
}

func TestTerminalsAreRefused(t *testing.T) {
	tty := terminal(t)
	_, inErr := openInput(int(tty.Fd()))
	_, outErr := openOutput(int(tty.Fd()))
	for want, err := range map[string]error{"standard input is a terminal": inErr,
		"standard output is a terminal": outErr} {
		var h *hintError
		if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &h) {
			t.Errorf("got %v, want %q with a hint", err, want)
		}
	}
}

func TestPipeGrows(t *testing.T) {
	r, _ := pipe(t)
	in, err := openInput(int(r.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if size, err := unix.FcntlInt(r.Fd(), unix.F_GETPIPE_SZ, 0); err != nil || size < pipeSize {
		t.Errorf("the pipe holds %d bytes, %v; want %d", size, err, pipeSize)
	}
}

func TestNothingStaysOpen(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	for _, open := range inputs {
		in, writer := open(t)
		in.Close()
		writer.Close()
	}
	for _, open := range outputs {
		out, reader := open(t)
		out.Close()
		reader.Close()
	}
	if after := count(); after != before {
		t.Errorf("%d file descriptors are open, and %d were before", after, before)
	}
}
