package mpegts_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// keyframes returns where the packets stand that begin a group of pictures, in bytes.
func keyframes(b []byte) []int {
	var all []int
	var scan mpegts.Scanner
	for at := 0; at < len(b); at += mpegts.PacketSize {
		if scan.Packet(b[at:at+mpegts.PacketSize])&mpegts.Access != 0 {
			all = append(all, at)
		}
	}
	return all
}

// setPTS writes the PTS of the PES packet that begins in p.
func setPTS(p mpegts.Packet, pts uint64) {
	b := p.Payload()[9:]
	b[0] = b[0]&0xF1 | byte(pts>>29)&0x0E
	b[1], b[2], b[3], b[4] = byte(pts>>22), byte(pts>>14)|1, byte(pts>>7), byte(pts<<1)|1
}

func TestCheckerClocks(t *testing.T) {
	const size = mpegts.PacketSize
	stream := sample(t, "mpeg1.ts")
	video := mpegts.Packet(stream[keyframes(stream)[0]:]).PID()
	starts := func(p mpegts.Packet) bool { _, ok := p.PTS(); return ok && p.PID() == video }
	pcr := func(p mpegts.Packet) bool { _, ok := p.PCR(); return ok }
	move := func(ticks int64) func([]byte) []byte {
		return func(b []byte) []byte {
			at := find(t, b, 30, starts) * size
			p := mpegts.Packet(b[at : at+size])
			dts, _ := p.PTS()
			setPTS(p, uint64(int64(dts)+ticks))
			p.Payload()[7] &^= 0x40 // no DTS
			return b
		}
	}
	cases := map[string]struct {
		mutate          func([]byte) []byte
		timestamps, pcr int64
		says            string
	}{
		"forward":  {move(3 * mpegts.ClockRate), 2, 0, "jumps by 3."},
		"backward": {move(-3 * mpegts.ClockRate), 2, 0, "jumps by -2.9"},
		"a PCR missing": {func(b []byte) []byte {
			for n := range 3 { // 40 ms each
				b[find(t, b, 20-n, pcr)*size+5] &^= 0x10
			}
			return b
		}, 0, 1, "after the one before; the limit is 100ms"},
		"no PCR at all": {func(b []byte) []byte {
			for at := 0; at < len(b); at += size {
				if pcr(b[at : at+size]) {
					b[at+5] &^= 0x10
				}
			}
			return b
		}, 0, 0, "no PCR"},
		"a PCR going back": {func(b []byte) []byte { b[find(t, b, 20, pcr)*size+8] ^= 0x40; return b }, 0, 1, "ms after the one before"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, trouble := check(c.mutate(bytes.Clone(stream)))
			says := strings.Join(trouble, "\n")
			if got.TimestampErrors != c.timestamps || got.PCRErrors < c.pcr || c.pcr == 0 && got.PCRErrors > 0 || !strings.Contains(says, c.says) {
				t.Errorf("%d timestamp errors, %d PCR errors, %q; want %+v", got.TimestampErrors, got.PCRErrors, says, c)
			}
		})
	}
	t.Run("limit", func(t *testing.T) {
		c := mpegts.NewChecker()
		c.MaxPCRInterval = 30 * time.Millisecond
		c.Write(stream)
		c.End()
		if f := c.Findings(); f.PCRErrors == 0 || f.PCRIntervalMax != 80 {
			t.Errorf("%+v", f)
		}
	})
}

// setVideoType makes the PMTs say that the first stream is of this type.
func setVideoType(b []byte, kind mpegts.StreamType) {
	for ; len(b) > 0; b = b[mpegts.PacketSize:] {
		if p := mpegts.Packet(b[:mpegts.PacketSize]); p.PID() == tsgen.PMTPID {
			section := p.Payload()[1:]
			section = section[:3+int(section[2])]
			section[12] = byte(kind)
			crc := len(section) - 4
			binary.BigEndian.PutUint32(section[crc:], mpegts.CRC32(section[:crc]))
		}
	}
}

// TestCheckerPTS: what is presented has been decoded, and not long before.
func TestCheckerPTS(t *testing.T) {
	const size = mpegts.PacketSize
	ahead := func(p mpegts.Packet) bool {
		pts, ok := p.PTS()
		dts, _ := p.DTS()
		return ok && pts != dts
	}
	for kind, limit := range map[mpegts.StreamType]int64{mpegts.StreamMPEG2Video: 1, mpegts.StreamH264: 10} {
		for _, c := range []struct {
			delay int64 // ticks from DTS to PTS
			says  string
		}{
			{0, ""}, {-1, "the PTS is -0.000 s behind the DTS"}, {limit * mpegts.ClockRate, ""},
			{limit*mpegts.ClockRate + 900, fmt.Sprintf("the PTS is %d.010 s behind the DTS; the limit is %d s", limit, limit)},
		} {
			b := sample(t, "bframes.ts")
			setVideoType(b, kind)
			n := find(t, b, 5, ahead)
			p := mpegts.Packet(b[n*size : (n+1)*size])
			dts, _ := p.DTS()
			setPTS(p, dts+uint64(c.delay))
			f, trouble := check(b)
			want := ""
			if c.says != "" {
				want = fmt.Sprintf("1 timestamp errors, the first at byte %d (packet %d, PID 0x0100): %s", n*size, n, c.says)
			}
			if got := strings.Join(trouble, "\n"); !strings.Contains(got, want) || (got == "") != (want == "") || (f.TimestampErrors == 0) != (want == "") {
				t.Errorf("%s, %d ticks: %q, want %q", kind, c.delay, got, want)
			}
		}
	}
}

// TestCheckerClocksAtGaps: whole groups of pictures are missing, more than 0.7 s of them, announced or not.
func TestCheckerClocksAtGaps(t *testing.T) {
	const size = mpegts.PacketSize
	stream := sample(t, "mpeg1.ts")
	keys := keyframes(stream)
	from, to := keys[2]-2*size, keys[5]-2*size // PAT and PMT stand in front
	for _, announced := range []bool{true, false} {
		b := bytes.Clone(stream[:from])
		seen := map[uint16]bool{}
		for at := to; at < len(stream); at += size {
			p := mpegts.Packet(stream[at : at+size])
			if pid := p.PID(); !seen[pid] && announced {
				seen[pid] = true
				b = mpegts.AppendDiscontinuity(b, p)
			}
			b = append(b, p...)
		}
		f, trouble := check(b)
		if ok := f.TimestampErrors == 0 && f.PCRErrors == 0 && f.ContinuityErrors == 0 && len(trouble) == 0; ok != announced {
			t.Errorf("announced %v: %+v %q", announced, f, trouble)
		}
	}
}
