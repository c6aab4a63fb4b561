package test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// statusOf returns the status of a response, 0 if none came.
func statusOf(conn net.Conn) int {
	var head [12]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return 0
	}
	status, _ := strconv.Atoi(string(head[9:]))
	return status
}

// rss returns the resident memory of a process, in KiB.
func rss(t *testing.T, p *process) int {
	t.Helper()
	status := string(read(t, fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)))
	_, rest, _ := strings.Cut(status, "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func descriptors(t *testing.T, p *process) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// TestDoorMemory: 256 connections without a token, each with as many and as tiny fields as it gets in, cost little, and
// leave nothing behind.
func TestDoorMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("SKIPPED: there is no /proc")
	}
	// The race detector needs many times the memory.
	name := filepath.Join(t.TempDir(), "vw-ingest")
	if out, err := exec.Command("go", "build", "-o", name, "../cmd/vw-ingest").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := start(t, wiring{stdout: out}, name, "--listen", "127.0.0.1:0", "--token-file", tokenFile(t),
		"--ledger", filepath.Join(t.TempDir(), "ledger"))
	d := &door{process: p, t: t, addr: hostOf(ingestURL(p)), out: out.Name()}
	before := rss(t, p)
	files := descriptors(t, p)
	most := 0
	for range 3 {
		var all []net.Conn
		for i := range 256 {
			conn := d.dial(1)
			header := "POST / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat(fmt.Sprintf("a%d: \r\n", i), 3000)
			if i%2 == 0 {
				header = header[:60<<4] + "\r\nX: " + strings.Repeat("x", 15<<10) // as much as one line may hold
			}
			_, _ = io.WriteString(conn, header)
			all = append(all, conn)
		}
		most = max(most, rss(t, p))
		for _, conn := range all {
			conn.Close()
		}
	}
	t.Logf("resident: %d KiB before, %d KiB under attack", before, most)
	if most > 40<<10 {
		t.Errorf("%d KiB of memory under attack", most)
	}
	testwait.Eventually(t, "memory and descriptors are given back", func() bool {
		return rss(t, p) < before+8<<10 && descriptors(t, p) <= files
	})
	d.close(0)
}

// TestDoorReadsFilesAgain: new tokens open the door at once, a token that has gone ends its publisher, a bad file
// changes nothing, and SIGHUP ends nothing.
func TestDoorReadsFilesAgain(t *testing.T) {
	t.Parallel()
	file := tokenFile(t)
	d := openDoor(t, "--token-file", file)
	replace := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	try := func(token string, want int) {
		t.Helper()
		conn := d.send("POST /" + token + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
		if got := status(t, conn); got != want {
			t.Errorf("%s: %d, want %d", token, got, want)
		}
	}
	try("sesame", 204)
	replace(fmt.Sprintf("cam1:other\ncam2:sha256:%x\n", sha256.Sum256([]byte("third"))))
	try("sesame", 401)
	try("other", 204)
	publisher := d.send(strings.Replace(chunkedPost, "sesame", "third", 1))
	d.find(d.stderr, `msg="publisher began" \S+ publisher=\d+ name=cam2`)
	replace("a bad line\n")
	try("other", 409)
	d.signal(syscall.SIGHUP)
	d.find(d.stderr, "token file not taken")
	replace("cam1:other\n")
	if got := status(t, publisher); got != 401 {
		t.Errorf("whose token has gone got %d", got)
	}
	try("other", 204)
	d.close(0)
	for _, secret := range []string{"sesame", "other", "third"} {
		if strings.Contains(d.stderr.String(), secret) {
			t.Errorf("%s is in the log", secret)
		}
	}
	if c := d.account().Out[0]; c.Publisher != "cam1" {
		t.Errorf("the ledger names the publisher %q", c.Publisher)
	}
}

// TestDoorWithoutAPause: a publisher that sends without a pause is not idle, however slowly, and its bytes come out as
// they arrive; one that sends everything but payload is.
func TestDoorWithoutAPause(t *testing.T) {
	t.Parallel()
	body := tsgen.Frames(tsgen.Options{GOP: 25, KeyPackets: 40, FramePackets: 10}, 50)[:188*50]
	d := openDoor(t, "--token-file", tokenFile(t), "--idle-timeout", "2s")
	conn := d.upgraded()
	if _, err := conn.Write(frame(true, 2, int64(len(body)))); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(body); i += 188 * 5 { // twice the idle timeout in one frame
		if _, err := conn.Write(body[i : i+188*5]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(400 * time.Millisecond)
		d.awaitOut(i + 188*4)
	}
	for range 100 { // pings and empty messages
		if _, err := conn.Write(append(frame(true, 9, 0), frame(true, 2, 0)...)); err != nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	d.find(d.stderr, "sent nothing for too long")
	d.awaitOut(len(body))
	d.close(0)
	same(t, "what came out", read(t, d.out), body)
}
