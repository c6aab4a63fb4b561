package test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// TestVerdicts: what a user reads when a publisher that is not vw's sends a stream that is not quite the one expected.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	const size = mpegts.PacketSize
	good := read(t, sample("mpeg1.ts"))
	var groups []int // where they begin: PAT and PMT in front of the keyframe
	var scan mpegts.Scanner
	for at := 0; at < len(good); at += size {
		if scan.Packet(good[at:at+size])&mpegts.RandomAccess != 0 {
			groups = append(groups, at-2*size)
		}
	}
	at := groups[1] + 10*size // inside a group
	place := func(at int) string { return fmt.Sprintf("byte %d (packet %d, PID 0x", at, at/size) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	flipped := bytes.Clone(good)
	flipped[at+100] ^= 4
	broken := bytes.Clone(good)
	broken[groups[1]+5+12] ^= 1 // in the PAT's CRC
	for name, c := range map[string]struct {
		stream []byte
		says   []string // on stderr; none: it passes
	}{
		"good": {good, nil},
		"a packet dropped": {join(good[:at], good[at+size:]),
			[]string{"expectation file failed: connection 1 (/cam1): differs",
				"expectation clean failed: connection 1 (/cam1): 1 continuity errors, the first at " + place(at),
				"expectation subset failed: connection 1 (/cam1): " + place(at)}},
		"a packet doubled": {join(good[:at+size], good[at:]), []string{"expectation file failed",
			"expectation subset failed: connection 1 (/cam1): " + place(at+size)}},
		"packets swapped": {join(good[:at], good[at+size:at+2*size], good[at:at+size], good[at+2*size:]),
			[]string{"expectation clean failed: connection 1 (/cam1): 3 continuity errors, the first at " + place(at),
				"expectation subset failed: connection 1 (/cam1): " + place(at)}},
		"a bit flipped": {flipped,
			[]string{
				fmt.Sprintf("differs from testdata/mpeg1.ts at byte %d (packet %d, PID 0x0100): "+
					"0x%02x instead of 0x%02x", at+100, at/size, flipped[at+100], good[at+100]),
				fmt.Sprintf("subset failed: connection 1 (/cam1): byte %d", at+100),
				fmt.Sprintf(">%02x<", flipped[at+100]),
			}},
		"a PAT removed": {join(good[:groups[1]], good[groups[1]+size:]), []string{"group 2 comes without its PAT",
			"PID 0x0000): counter"}},
		"a CRC broken": {broken, []string{"1 table errors, the first at " + place(groups[1]) + "0000): wrong CRC"}},
		"a group missing": {join(good[:groups[1]], good[groups[2]:]),
			[]string{"expectation clean failed: connection 1 (/cam1): ", "the first at " + place(groups[1])}},
		"a group repeated": {join(good[:groups[2]], good[groups[1]:]),
			[]string{"group 2 comes again inside the connection", "the first at " + place(groups[2])}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, "--conns", "1", "--expect-file", sample("mpeg1.ts"), "--expect-subset", sample("mpeg1.ts"),
				"--expect-clean")
			start(t, wiring{}, "node", "node/ws-publisher.mjs", s.url+"/cam1",
				write(t, "stream.ts", c.stream)).expect(0)
			if c.says == nil {
				s.expect(0)
				return
			}
			s.expect(4)
			for _, says := range c.says {
				if !strings.Contains(s.stderr.String(), says) {
					t.Errorf("no %q on stderr:\n%s", says, s.stderr)
				}
			}
		})
	}
}

// TestSlowLoris: handshakes that come byte by byte for ever keep nobody waiting, and are cut off while the server runs.
func TestSlowLoris(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	s := serve(t, "--conns", "2", "--expect-file", sample("mpeg1.ts"))
	publish := func() {
		start(t, wiring{}, "node", "node/ws-publisher.mjs", s.url+"/cam1", sample("mpeg1.ts")).expect(0)
	}
	var slow sync.WaitGroup
	for range 50 {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "ws://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX: "); err != nil {
			t.Fatal(err)
		}
		cut := make(chan struct{})
		slow.Go(func() {
			defer close(cut)
			_, _ = io.Copy(io.Discard, c)
		})
		slow.Go(func() {
			drip := time.NewTicker(100 * time.Millisecond)
			defer drip.Stop()
			for {
				select {
				case <-cut:
					return
				case <-drip.C:
					_, _ = io.WriteString(c, "x") // whether it is cut off, the reader tells
				}
			}
		})
	}
	publish()
	slow.Wait()
	publish()
	s.expect(0)
}
