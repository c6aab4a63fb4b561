package test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
)

// ticks returns the processor time that a process has used, in hundredths of a second.
func ticks(t *testing.T, p *process) (n int) {
	t.Helper()
	stat := string(read(t, fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid)))
	fields := strings.Fields(stat[strings.LastIndex(stat, ")"):])
	for _, f := range fields[12:14] { // utime and stime
		var v int
		_, _ = fmt.Sscan(f, &v)
		n += v
	}
	return n
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
}

// TestDoorBesideRelay does the same to jsmpeg's relay and to vw-ingest, and logs what became of it: docs/ingest.md has
// the table. Only what it says of vw-ingest is checked.
func TestDoorBesideRelay(t *testing.T) {
	nodeModules(t)
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("SKIPPED: there is no /proc")
	}
	port, viewers := freePort(t), freePort(t)
	relay := start(t, wiring{}, "node", "node/node_modules/jsmpeg-player/ws/websocket-relay.js", "sesame", port,
		viewers)
	out, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	beside := &door{process: relay, t: t, addr: "127.0.0.1:" + port, out: out.Name()}
	testwait.Eventually(t, "the relay listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+viewers)
		if err == nil {
			go func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, strings.Replace(doorHandshake, "Sec-WebSocket-Extensions", "X", 1))
				_, _ = io.Copy(out, conn)
			}()
		}
		return err == nil
	})
	beside.awaitOut(1) // the handshake
	ours := openDoor(t, "--token-file", tokenFile(t))
	for name, d := range map[string]*door{"jsmpeg's relay": beside, "vw-ingest": ours} {
		first := d.send(fmt.Sprintf("%s%x\r\n%s", chunkedPost, 5000, packets(20)[:1000]))
		d.awaitOut(940)
		second := d.send(fmt.Sprintf("%s%x\r\n%s\r\n", chunkedPost, 188*10, packets(10)))
		if d == ours {
			if got := status(t, second); got != 409 {
				t.Errorf("the second publisher got %d", got)
			}
		} else {
			d.awaitOut(1000 + 188*10) // the relay lets both in
		}
		size := len(read(t, d.out))
		t.Logf("%s: two publishers at once: %d bytes came out", name, size)
		first.Close()
		second.Close()
		before := ticks(t, d.process)
		crowd := d.crowd(2000, "POST /wrong HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", false)
		time.Sleep(time.Second) // the attack
		visits := crowd.visits.Load()
		used := ticks(t, d.process) - before
		rate := crowd.end()
		t.Logf("%s: %.0f wrong tokens a second: %.1f ms of processor time for 100", name, rate,
			float64(used)*1000/float64(visits))
		if d == ours && size != 1000/mpegts.PacketSize*mpegts.PacketSize {
			t.Errorf("%d bytes came out", size)
		}
	}
}
