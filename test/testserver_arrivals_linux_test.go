package test

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// segment is the payload of a TCP segment, and when it was captured.
type segment struct {
	at      time.Time
	seq     uint32
	payload []byte
}

// TestArrivalStamps: --arrivals against what tcpdump captures on the loopback device. That device has the last byte of
// a message before the server can have read it; how long before is written down.
func TestArrivalStamps(t *testing.T) {
	nodeModules(t)
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: not root, who alone may capture")
	}
	arrivals := filepath.Join(t.TempDir(), "arrivals.csv")
	s := serve(t, "--conns", "1", "--arrivals", arrivals)
	port := s.url[strings.LastIndex(s.url, ":")+1:]
	capture := start(t, wiring{}, "tcpdump", "-i", "lo", "-n", "--immediate-mode", "--time-stamp-precision=nano", "-U",
		"-w", "-", "tcp dst port "+port)
	capture.find(capture.stderr, "listening on lo")
	start(t, wiring{}, "node", "node/ws-publisher.mjs", "--size", "1316", "--pause", "3", s.url+"/cam1",
		sample("mpeg1.ts")).expect(0)
	s.expect(0)
	capture.signal(syscall.SIGINT)
	capture.expect(0)

	var report struct {
		Started time.Time `json:"started"`
	}
	out := bytes.TrimSpace([]byte(s.stdout.String()))
	if err := json.Unmarshal(out[bytes.LastIndexByte(out, '\n')+1:], &report); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(read(t, arrivals))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	captured := lastBytes(t, segments(t, []byte(capture.stdout.String())))
	if len(rows)-1 != len(captured) || len(captured) < 300 {
		t.Fatalf("%d messages arrived, %d were captured", len(rows)-1, len(captured))
	}
	var late []time.Duration
	for i, row := range rows[1:] {
		ns, err := strconv.ParseInt(row[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		late = append(late, report.Started.Add(time.Duration(ns)).Sub(captured[i]))
	}
	slices.Sort(late)
	n := len(late)
	t.Logf("stamped after the capture, %d messages: least %v, median %v, 99th percentile %v, most %v", n, late[0],
		late[n/2],
		late[n*99/100], late[n-1])
	// The two clocks may be set apart by as much as NTP moves one of them during the test.
	if late[0] < -100*time.Microsecond || late[n/2] > 100*time.Millisecond {
		t.Error("the stamps are not those of the arrival")
	}
}

// segments reads a capture (pcap with ns, of Ethernet and IPv4).
func segments(t *testing.T, b []byte) (all []segment) {
	const fileHeader, recordHeader, ethernet = 24, 16, 14
	if len(b) < fileHeader || binary.LittleEndian.Uint32(b) != 0xA1B23C4D || binary.LittleEndian.Uint32(b[20:]) != 1 {
		t.Fatalf("no capture of a kind that is known: % x", b[:min(len(b), fileHeader)])
	}
	for b = b[fileHeader:]; len(b) >= recordHeader; {
		at := time.Unix(int64(binary.LittleEndian.Uint32(b)), int64(binary.LittleEndian.Uint32(b[4:])))
		packet := b[recordHeader:][:binary.LittleEndian.Uint32(b[8:])]
		b = b[recordHeader+len(packet):]
		ip := packet[ethernet:]
		ip = ip[:binary.BigEndian.Uint16(ip[2:])]
		tcp := ip[ip[0]&0x0F*4:]
		if payload := tcp[tcp[12]>>4*4:]; len(payload) > 0 {
			all = append(all, segment{at, binary.BigEndian.Uint32(tcp[4:]), payload})
		}
	}
	return all
}

// lastBytes returns when the last byte of each binary message was captured, of a client's whole connection.
func lastBytes(t *testing.T, all []segment) (times []time.Time) {
	var stream []byte
	var ends []int // of the segments, in the stream
	first := all[0].seq
	all = slices.DeleteFunc(all, func(s segment) bool {
		sent := int(s.seq - first)
		switch {
		case sent > len(stream):
			t.Fatalf("bytes %d to %d were not captured", len(stream), sent)
		case sent < len(stream): // the kernel has sent it again: a probe
			return true
		}
		stream = append(stream, s.payload...)
		ends = append(ends, len(stream))
		return false
	})
	request := bytes.Index(stream, []byte("\r\n\r\n"))
	r := bytes.NewReader(stream[request+4:])
	for r.Len() > 0 {
		f, err := ws.ReadFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		if f.Header.OpCode == ws.OpBinary {
			i, found := slices.BinarySearch(ends, len(stream)-r.Len())
			if !found && i == len(ends) {
				t.Fatal("a message ends behind the capture")
			}
			times = append(times, all[i].at)
		}
	}
	return times
}
