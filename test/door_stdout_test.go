package test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// openDoorInto opens a door whose standard output is what is given.
func openDoorInto(t *testing.T, out *os.File, args ...string) *door {
	t.Helper()
	p := start(t, wiring{stdout: out}, "vw-ingest", append([]string{"--listen", "127.0.0.1:0"}, args...)...)
	return &door{process: p, t: t, addr: hostOf(ingestURL(p)), out: out.Name()}
}

// openDoorToReader opens a door whose output a process reads, into the file that is returned.
func openDoorToReader(t *testing.T, args ...string) (d *door, reader *process, out string) {
	t.Helper()
	r, w := pipe(t)
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader = start(t, wiring{stdin: r, stdout: file}, "cat")
	d = openDoorInto(t, w, args...)
	r.Close()
	w.Close()
	return d, reader, file.Name()
}

// TestDoorFrozenReader: while the reader of the output is frozen, the door answers, and refuses; the publisher waits,
// and loses nothing when the reader goes on.
func TestDoorFrozenReader(t *testing.T) {
	t.Parallel()
	body := packets(20_000) // more than all buffers hold
	d, reader, out := openDoorToReader(t, "--token-file", tokenFile(t), "--buffer", "1MiB", "--idle-timeout", "1s")
	reader.signal(syscall.SIGSTOP)
	conn := d.dial(1)
	go io.WriteString(conn, counted(body))
	d.find(d.stderr, `msg="publisher began"`)
	for _, s := range requestShapes[:20] {
		d.refuses(s)
	}
	if got := d.answer("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); got != 200 {
		t.Errorf("/healthz: %d", got)
	}
	reader.signal(syscall.SIGCONT)
	if got := statusOf(conn); got != 204 {
		t.Errorf("the publisher got %d", got)
	}
	d.close(0)
	reader.expect(0)
	same(t, "what came out", read(t, out), body)
}

// TestDoorFrozenReaderEnds: with a reader that is frozen for good, a signal ends vw-ingest within --linger, and a
// second one at once; what did not get out is counted.
func TestDoorFrozenReaderEnds(t *testing.T) {
	t.Parallel()
	body := packets(20_000)
	for _, signals := range [][]os.Signal{{syscall.SIGTERM}, {syscall.SIGTERM, syscall.SIGINT}} {
		d, reader, out := openDoorToReader(t, "--token-file", tokenFile(t), "--buffer", "1MiB", "--linger", "1s")
		reader.signal(syscall.SIGSTOP)
		conn := d.dial(1)
		go io.WriteString(conn, counted(body))
		d.find(d.stderr, `msg="publisher began"`)
		for _, s := range signals {
			d.signal(s)
		}
		got := d.wait()
		c := d.account().Out[0]
		reader.signal(syscall.SIGCONT)
		reader.expect(0)
		if got != 3 && !(len(signals) > 1 && got == 1) && c.Dropped.Sum() > 0 {
			t.Errorf("%v: exit status %d", signals, got)
		}
		if statusOf(conn) == 204 {
			t.Error("204 for what did not come out")
		}
		b := read(t, out)
		// Of the write that was cut short, part may have come out.
		if n := int64(len(b)); n < c.Confirmed || n > c.Confirmed+c.Dropped.Lost || !bytes.HasPrefix(body, b) {
			t.Errorf("%v: %d bytes came out: %+v", signals, len(b), c)
		}
	}
}

// TestDoorReaderGoes: when the reader of the output goes, vw-ingest ends with status 1, idle or not.
func TestDoorReaderGoes(t *testing.T) {
	t.Parallel()
	for _, idle := range []bool{true, false} {
		d, reader, _ := openDoorToReader(t, "--token-file", tokenFile(t))
		conn := d.dial(1)
		if !idle {
			go flood(conn, []byte(chunkedPost+strings.Repeat("5\r\nhello\r\n", 10_000)))
			d.find(d.stderr, `msg="publisher began"`)
		}
		reader.signal(syscall.SIGKILL)
		reader.wait()
		d.expect(1)
		if statusOf(conn) == 204 {
			t.Error("204 for what did not come out")
		}
	}
}

// TestDoorFullDisk: without --live a full disk ends vw-ingest, and the publisher learns that; with it, the stream is
// dropped and counted.
func TestDoorFullDisk(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("SKIPPED: there is no /dev/full")
	}
	body := packets(100)
	for _, live := range []bool{false, true} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		args := []string{"--token-file", tokenFile(t)}
		if live {
			args = append(args, "--live", "--linger", "100ms")
		}
		d := openDoorInto(t, full, args...)
		full.Close()
		conn := d.dial(1)
		_, _ = io.WriteString(conn, counted(body))
		status := 1
		if live {
			d.find(d.stderr, "(?i)no space left on device")
			d.signal(syscall.SIGTERM)
			status = 3
		}
		d.expect(status)
		d.find(d.stderr, "(?i)no space left on device")
		if got := statusOf(conn); got == 204 {
			t.Error("204 for what did not come out")
		}
		c := d.account().Out[0]
		if c.In != int64(len(body)) || c.Confirmed != 0 || c.Dropped.Exit+c.Dropped.Lost != c.In {
			t.Errorf("live %v: counted as %+v", live, c)
		}
	}
}
