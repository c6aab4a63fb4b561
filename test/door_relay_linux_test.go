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
		wrong := d.crowd(2000, 64, "POST /wrong HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", 400)
		time.Sleep(time.Second) // the attack
		used := ticks(t, d.process) - before
		t.Logf("%s: %.0f wrong tokens a second: %.1f ms of processor time for 100", name, wrong.rate(),
			float64(used)*1000/float64(min(wrong.offered.Load(), wrong.answered.Load()+400)))
		wrong.end()
		if d == ours && size != 1000/mpegts.PacketSize*mpegts.PacketSize {
			t.Errorf("%d bytes came out", size)
		}
		d.idleCrowd(name)
	}
}

// idleCrowd opens 5,000 idle connections a second, of which 3,200 stay, and logs what that costs, and whether somebody
// with the token gets in meanwhile.
func (d *door) idleCrowd(name string) {
	memory, files, before := rss(d.t, d.process), descriptors(d.t, d.process), ticks(d.t, d.process)
	size := len(read(d.t, d.out))
	idle := d.crowd(5000, 64, "", 3200)
	defer idle.end()
	time.Sleep(time.Second) // the attack
	rate, used := idle.rate(), ticks(d.t, d.process)-before
	memory, files = rss(d.t, d.process)-memory, descriptors(d.t, d.process)-files
	began := time.Now()
	conn := d.dial(2)
	time.Sleep(200 * time.Millisecond) // a slow link
	if _, err := fmt.Fprintf(conn, "%s%x\r\n%s\r\n", chunkedPost, 188*10, packets(10)); err != nil {
		d.t.Errorf("%s: %v", name, err)
	}
	d.awaitOut(size + 188*10)
	d.t.Logf("%s: %.0f idle connections a second: %d ms of processor time a second, %d descriptors and %d KiB more; "+
		"a newcomer's bytes were out after %v", name, rate, used*10, files, memory,
		time.Since(began).Round(time.Millisecond))
}
