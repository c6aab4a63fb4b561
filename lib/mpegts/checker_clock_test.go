package mpegts_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
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
		if scan.Packet(b[at:at+mpegts.PacketSize])&mpegts.RandomAccess != 0 {
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

// TestCheckerLongIntervals: an interval of days allows all that a shorter one allows.
func TestCheckerLongIntervals(t *testing.T) {
	for _, d := range []time.Duration{time.Hour, 30 * time.Hour, math.MaxInt64} {
		c := mpegts.NewChecker()
		c.MaxPCRInterval, c.MaxTimestampInterval = d, d
		_, _ = c.Write(sample(t, "mpeg1.ts"))
		c.End()
		if r := c.Report(); r.PCRErrors+r.TimestampErrors > 0 {
			t.Errorf("%v: %v", d, c.Problems())
		}
	}
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
		"a PCR going back": {func(b []byte) []byte { b[find(t, b, 20, pcr)*size+8] ^= 0x40; return b }, 0, 1,
			"ms after the one before"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, trouble := check(c.mutate(bytes.Clone(stream)))
			says := strings.Join(trouble, "\n")
			if got.TimestampErrors != c.timestamps || got.PCRErrors < c.pcr || c.pcr == 0 && got.PCRErrors > 0 ||
				!strings.Contains(says, c.says) {
				t.Errorf("%d timestamp errors, %d PCR errors, %q; want %+v", got.TimestampErrors, got.PCRErrors, says,
					c)
			}
		})
	}
	t.Run("limit", func(t *testing.T) {
		c := mpegts.NewChecker()
		c.MaxPCRInterval = 30 * time.Millisecond
		c.Write(stream)
		c.End()
		if f := c.Report(); f.PCRErrors == 0 || f.PCRIntervalMax != 80 {
			t.Errorf("%+v", f)
		}
	})
}

// changed returns b with a change to the packets for which ok is true, from the n-th on, from 0.
func changed(b []byte, n int, ok func(mpegts.Packet) bool, change func(mpegts.Packet)) []byte {
	for at := 0; at < len(b); at += mpegts.PacketSize {
		if p := mpegts.Packet(b[at : at+mpegts.PacketSize]); ok(p) {
			if n--; n < 0 {
				change(p)
			}
		}
	}
	return b
}

// clockApart moves the PCRs to a PID of their own.
func clockApart(b []byte) (moved []byte) {
	const pid = 0x01FF
	changed(b, 0, func(p mpegts.Packet) bool { return p.PID() == tsgen.PMTPID }, func(p mpegts.Packet) {
		section := p.Payload()[1:]
		section = section[:3+int(section[2])]
		section[8], section[9] = 0xE0|pid>>8, pid&0xFF
		crc := len(section) - 4
		binary.BigEndian.PutUint32(section[crc:], mpegts.CRC32(section[:crc]))
	})
	for ; len(b) > 0; b = b[mpegts.PacketSize:] {
		p := mpegts.Packet(b[:mpegts.PacketSize])
		if _, ok := p.PCR(); ok {
			clock := append([]byte{mpegts.SyncByte, pid >> 8, pid & 0xFF, 0x20, mpegts.PacketSize - 5, 0x10},
				p[6:12]...)
			moved = append(append(moved, clock...), make([]byte, mpegts.PacketSize-len(clock))...)
			p[5] &^= 0x10
		}
		moved = append(moved, p...)
	}
	return moved
}

// TestCheckerStops: a clock that stops is found where the other goes on. What ends, or cannot be read, stops nothing.
func TestCheckerStops(t *testing.T) {
	timed := func(p mpegts.Packet) bool { _, ok := p.PTS(); return ok }
	untime := func(p mpegts.Packet) { p.Payload()[7] &^= 0xC0 }
	clocked := func(p mpegts.Packet) bool { _, ok := p.PCR(); return ok }
	stop := func(p mpegts.Packet) { p[5] &^= 0x10 }
	video := func(p mpegts.Packet) bool { return p.PID() == tsgen.VideoPID }
	n := 0
	cases := map[string]struct {
		stream []byte
		says   string // "" of a good stream
	}{
		"two PCRs, then none": {changed(sample(t, "mpeg1.ts"), 2, clocked, stop),
			"4 PCR errors, the first at byte 113176 (packet 602, PID 0x0100): none on PID 0x0100 for 1.1 s of " +
				"timestamps"},
		"ten timestamps, then none": {changed(sample(t, "mpeg1.ts"), 10, timed, untime),
			"2 timestamp errors, the first at byte 171456 (packet 912, PID 0x0100): none for 1.8 s of PCR"},
		"no timestamp": {changed(sample(t, "h264.ts"), 0, timed, untime), "no PTS"},
		"PCR apart":    {clockApart(sample(t, "mpeg1.ts")), ""},
		"PCR apart, two, then none": {changed(clockApart(sample(t, "mpeg1.ts")), 2, clocked, stop),
			"4 PCR errors, the first at byte 116184 (packet 618, PID 0x0100): none on PID 0x01ff for 1.1 s of " +
				"timestamps"},
		"timestamps of keyframes only": {changed(sample(t, "mpeg1.ts"), 0,
			func(p mpegts.Packet) bool { return video(p) && timed(p) && !p.RandomAccess() }, untime), ""},
		"two PCRs in a short stream": {changed(sample(t, "mpeg1.ts")[:100*mpegts.PacketSize], 2, clocked, stop), ""},
		"the video and its PCR end, the audio goes on": {filtered(sample(t, "mpeg1.ts"), func(p mpegts.Packet) bool {
			n++
			return n < 500 || !video(p)
		}), ""},
		"scrambled": {changed(sample(t, "mpeg1.ts"), 0,
			func(p mpegts.Packet) bool { return video(p) || p.PID() == tsgen.AudioPID },
			func(p mpegts.Packet) { p[3] |= 0x80 }), ""},
	}
	for name, c := range cases {
		_, trouble := check(c.stream)
		if says := strings.Join(trouble, "\n"); !strings.Contains(says, c.says) || (says == "") != (c.says == "") {
			t.Errorf("%s: %q, want %q", name, says, c.says)
		}
	}
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

// TestCheckerTimestampInterval: one frame a second is what the caller says is right.
func TestCheckerTimestampInterval(t *testing.T) {
	stream := tsgen.Frames(tsgen.Options{GOP: 4}, 12)
	for at := 0; at < len(stream); at += mpegts.PacketSize {
		p := mpegts.Packet(stream[at : at+mpegts.PacketSize])
		if pts, ok := p.PTS(); ok {
			setPTS(p, pts*25)
		}
	}
	for interval, want := range map[time.Duration]int64{mpegts.DefaultTimestampInterval: 11, time.Second: 0} {
		c := mpegts.NewChecker()
		c.MaxTimestampInterval = interval
		c.Write(stream)
		c.End()
		if got := c.Report().TimestampErrors; got != want {
			t.Errorf("%v: %d timestamp errors, want %d", interval, got, want)
		}
	}
}

// TestCheckerForgetsLeftPIDs: audio that leaves the PMT and comes back later has not jumped.
func TestCheckerForgetsLeftPIDs(t *testing.T) {
	audio := tsgen.Options{GOP: 5, Audio: true}
	stream := tsgen.Frames(audio, 120)
	without := tsgen.Frames(tsgen.Options{GOP: 5}, 120)
	pmt := mpegts.Packet(without[mpegts.PacketSize : 2*mpegts.PacketSize])
	counters := map[uint16]byte{}
	var b []byte
	frames := 0
	for at := 0; at < len(stream); at += mpegts.PacketSize {
		p := mpegts.Packet(stream[at : at+mpegts.PacketSize])
		if p.PID() == tsgen.VideoPID {
			frames++
		}
		if off := frames >= 40 && frames < 80; off && p.PID() == tsgen.AudioPID {
			continue
		} else if off && p.PID() == tsgen.PMTPID {
			copy(p, pmt)
		}
		p[3] = p[3]&0xF0 | counters[p.PID()]
		counters[p.PID()] = (counters[p.PID()] + 1) & 0x0F
		b = append(b, p...)
	}
	if f, problems := check(b); f.TimestampErrors > 0 || f.ContinuityErrors > 0 || f.Frames != 120 {
		t.Errorf("%d frames, problems %q", f.Frames, problems)
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
			{0, ""}, {-1, "the PTS is -0.000 s after the DTS"}, {limit * mpegts.ClockRate, ""},
			{limit*mpegts.ClockRate + 900, fmt.Sprintf("the PTS is %d.010 s after the DTS; the limit is %d s", limit,
				limit)},
		} {
			b := sample(t, "bframes.ts")
			setVideoType(b, kind)
			n := find(t, b, 5, ahead)
			p := mpegts.Packet(b[n*size : (n+1)*size])
			dts, _ := p.DTS()
			setPTS(p, dts+uint64(c.delay))
			f, trouble := check(b)
			trouble = slices.DeleteFunc(trouble, func(s string) bool {
				return s == "does not start at a keyframe" // the pictures of "H.264" are MPEG-2 video still
			})
			want := ""
			if c.says != "" {
				want = fmt.Sprintf("1 timestamp errors, the first at byte %d (packet %d, PID 0x0100): %s", n*size, n,
					c.says)
			}
			got := strings.Join(trouble, "\n")
			if !strings.Contains(got, want) || (got == "") != (want == "") || (f.TimestampErrors == 0) != (want == "") {
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
		if ok := f.TimestampErrors == 0 && f.PCRErrors == 0 && f.ContinuityErrors == 0 &&
			len(trouble) == 0; ok != announced {
			t.Errorf("announced %v: %+v %q", announced, f, trouble)
		}
	}
}
