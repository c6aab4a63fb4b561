package mpegts

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// packetize puts an elementary stream into packets of a PID, every of them to a PES packet, 40 ms apart.
func packetize(es []byte, pid uint16, every int) (b []byte) {
	const frame = ClockRate / 25
	pts := uint64(0)
	for n := 0; len(es) > 0; n++ {
		header := []byte{SyncByte, byte(pid >> 8), byte(pid), 0x10 | byte(n)&0x0F}
		if n%every == 0 {
			header[1] |= 0x40
			header = append(header, 0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5, 0x21|byte(pts>>29)&0x0E, byte(pts>>22),
				0x01|byte(pts>>14), byte(pts>>7), 0x01|byte(pts<<1))
			pts += frame
		}
		room := PacketSize - len(header)
		part := es[:min(room, len(es))]
		es = es[len(part):]
		b = append(append(append(b, header...), part...), bytes.Repeat([]byte{0xFF}, room-len(part))...)
	}
	return b
}

// scanAll scans packets, and checks what holds for every stream: who is undecided is decided within maxWait packets,
// once, and what is kept is bounded. Quick says whether it may go the short ways. The marks are as they are in the end.
func scanAll(t *testing.T, s *Scanner, b []byte, quick bool) (marks []Mark) {
	t.Helper()
	undecided := -1
	for i := 0; len(b) >= PacketSize; i++ {
		p := Packet(b[:PacketSize])
		mark := Mark(0)
		if quick {
			mark = s.Packet(p)
		} else {
			mark = s.packet(p.PID(), p)
		}
		b = b[PacketSize:]
		if mark&Decided != 0 {
			if undecided < 0 {
				t.Fatalf("packet %d: nothing was undecided", i)
			}
			marks[undecided] = s.Decision()
			undecided = -1
		}
		if mark&Undecided != 0 {
			if undecided >= 0 {
				t.Fatalf("packet %d: packet %d is undecided still", i, undecided)
			}
			undecided = i
		}
		if undecided >= 0 && i-undecided >= maxWait-1 {
			t.Fatalf("packet %d: packet %d is undecided still", i, undecided)
		}
		if mark.AccessUnits() > PacketSize/3 || mark&AccessUnit == 0 != (mark.AccessUnits() == 0) {
			t.Fatalf("packet %d: mark %x with %d access units", i, mark, mark.AccessUnits())
		}
		marks = append(marks, mark&^(Undecided|Decided))
	}
	if kept := s.sets.size + len(s.unit.buf) + len(s.unit.mpeg.sequence); kept > maxSetsBytes+3*maxSetSize {
		t.Fatalf("%d bytes are kept", kept)
	}
	if len(s.sets.sets) > maxSets {
		t.Fatalf("%d sets are kept", len(s.sets.sets))
	}
	if mark, ok := s.Decide(); ok {
		marks[undecided] = mark
	}
	return marks
}

var readable = []StreamType{StreamMPEG2Video, StreamH264, StreamHEVC, 0x06}

// FuzzElementaryStream: any elementary stream is scanned in bounded time and memory, and the short way through the
// Scanner says what the long one does.
func FuzzElementaryStream(f *testing.F) {
	f.Add(byte(1), byte(3), bytes.Repeat([]byte{0, 0, 1}, 2000))
	f.Add(byte(0), byte(20), bytes.Repeat([]byte{0, 0, 1, 0xB3, 0, 0, 1, 0, 0, 0x0F}, 500))
	sets := []byte{0, 0, 1, 0x67, 66, 0, 30, 0x80, 0, 0, 1, 0x68, 0xC0, 0, 0, 1, 0x65, 0xF0}
	f.Add(byte(1), byte(30), bytes.Repeat(sets, 500))
	f.Add(byte(1), byte(1), bytes.Repeat([]byte{0, 0, 0, 1, 9, 0xF0, 0, 0, 0, 1, 0x41, 0x9A}, 500))
	f.Add(byte(2), byte(2), bytes.Repeat([]byte{0, 0, 1, 0x40, 1, 0, 0, 1, 0x42, 1, 1}, 500))
	f.Add(byte(2), byte(100), bytes.Repeat([]byte{0xFF}, 20000))
	f.Add(byte(1), byte(100), make([]byte, 20000))
	f.Fuzz(func(t *testing.T, kind, every byte, es []byte) {
		const pid = 0x100
		b := packetize(es, pid, int(every)+1)
		var long, short Scanner
		long.followStream(Stream{PID: pid, Type: readable[int(kind)%len(readable)]}, true)
		short.followStream(Stream{PID: pid, Type: readable[int(kind)%len(readable)]}, true)
		a, c := scanAll(t, &long, b, false), scanAll(t, &short, b, true)
		for i := range a {
			if a[i] != c[i] {
				t.Fatalf("packet %d: mark %x the long way, %x the short", i, a[i], c[i])
			}
		}
	})
}

// TestQuickPicture: of encoders' streams most pictures go the short way, keyframes too, and it says the same.
func TestQuickPicture(t *testing.T) {
	files, err := filepath.Glob("../../test/testdata/*.ts")
	if err != nil || len(files) == 0 {
		t.Fatal("no samples", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var long, short Scanner
		a, c := scanAll(t, &long, b, false), scanAll(t, &short, b, true)
		for i := range a {
			if a[i] != c[i] {
				t.Fatalf("%s: packet %d: mark %x the long way, %x the short", file, i, a[i], c[i])
			}
		}
		if long.followsVideo && !short.trust.established() {
			t.Errorf("%s: its PES packets are not trusted", file)
		}
		if long.followsVideo && len(short.sets.start.sets) == 0 {
			t.Errorf("%s: what its keyframes begin with is not known", file)
		}
	}
}

func TestStartCodesInPieces(t *testing.T) {
	b := []byte{7, 0, 0, 1, 9, 0, 0, 0, 1, 0, 1, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 1}
	want := []int{4, 9, 19, 22}
	for first := range b {
		for second := first; second <= len(b); second++ {
			var s startCodes
			var got []int
			offset := 0
			for _, piece := range [][]byte{b[:first], b[first:second], b[second:]} {
				for {
					n := s.next(piece)
					if n < 0 {
						offset += len(piece)
						break
					}
					offset += n
					got = append(got, offset)
					piece = piece[n:]
				}
			}
			if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] ||
				got[3] != want[3] {
				t.Fatalf("in pieces %d and %d: %v, want %v", first, second, got, want)
			}
		}
	}
}

// TestParameterSetsAreReplaced: of each kind and id the last is kept, and what a new SPS makes void is dropped.
func TestParameterSetsAreReplaced(t *testing.T) {
	var s setStore
	s.put(seqSet, 0, 0, 1, []byte("sps"))
	s.put(pictureSet, 0, 0, 1, []byte("pps"))
	s.put(pictureSet, 1, 0, 1, []byte("other pps"))
	first := s.all()
	if again := s.all(); again != first {
		t.Error("sets that have not changed are made twice")
	}
	s.put(seqSet, 0, 0, 2, []byte("new sps"))
	s.put(pictureSet, 0, 0, 2, []byte("new pps"))
	want := "\x00\x00\x00\x01new sps\x00\x00\x00\x01new pps"
	if got := string(s.all().data); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if string(first.data) != "\x00\x00\x00\x01sps\x00\x00\x00\x01pps\x00\x00\x00\x01other pps" {
		t.Errorf("sets that were given out have changed: %q", first.data)
	}
	for i := range uint32(10 * maxSets) {
		s.put(pictureSet, i, 0, 3, bytes.Repeat([]byte{byte(i)}, 1000))
	}
	if s.size > maxSetsBytes || len(s.sets) > maxSets {
		t.Errorf("%d sets of %d bytes are kept", len(s.sets), s.size)
	}
}

// TestUnitsOfOneAccessUnit: NAL units in PES packets of their own belong to one access unit, whatever their timestamps:
// GStreamer's h264parse gives those in front of a picture the PTS of it or its DTS.
func TestUnitsOfOneAccessUnit(t *testing.T) {
	const pid, room = 0x100, 170
	var es []byte
	for _, unit := range []string{"\x09\xF0", "\x67\x42\x00\x1E\x80", "\x68\xC0", "\x65\xF0", "\x09\xF0", "\x41\x9A"} {
		es = append(es, "\x00\x00\x00\x01"+unit...)
		es = append(es, make([]byte, (room-len(es)%room)%room)...)
	}
	var s Scanner
	s.followStream(Stream{PID: pid, Type: StreamH264}, true)
	keyframe := Mark(0).plusUnit(true) | RandomAccess
	want := []Mark{keyframe, 0, 0, 0, Mark(0).plusUnit(false), 0}
	if marks := scanAll(t, &s, packetize(es, pid, 1), false); !slices.Equal(marks, want) {
		t.Errorf("marks %x, want %x", marks, want)
	}
}

// TestQuickKeyframe: a keyframe goes the short way only with the parameter sets of the one before, and what the long
// way makes of it is the same.
func TestQuickKeyframe(t *testing.T) {
	const pid, room = 0x100, 170
	const sps, pps = "\x00\x00\x00\x01\x67\x42\x00\x1E\x80", "\x00\x00\x01\x68\xC0"
	const delimiter, idr = "\x00\x00\x00\x01\x09\xF0", "\x00\x00\x01\x65\x88\x80\x11\x11"
	const otherSPS, otherPPS = "\x00\x00\x00\x01\x67\x42\x00\x1F\x80", "\x00\x00\x01\x68\x70" // of id 1, for SPS 0
	full := delimiter + sps + pps + idr
	var es []byte
	for _, unit := range []string{
		full, full, full, full, full, full, full, delimiter + idr, full,
		delimiter + otherSPS + pps + idr, full, full,
		delimiter + sps + pps + "\x00\x00\x01\x65\x88\x50\x11\x11", // PPS 1, which has not come
		delimiter + sps + pps + otherPPS + idr, full, full,
	} {
		es = append(es, unit...)
		es = append(es, bytes.Repeat([]byte{0x11}, (room-len(es)%room)%room)...)
	}
	b := packetize(es, pid, 1)
	var long, short Scanner
	long.followStream(Stream{PID: pid, Type: StreamH264}, true)
	short.followStream(Stream{PID: pid, Type: StreamH264}, true)
	a, c := scanAll(t, &long, b, false), scanAll(t, &short, b, true)
	if !slices.Equal(a, c) {
		t.Errorf("marks %x the long way, %x the short", a, c)
	}
	if a[7]&MissesSets == 0 || a[9]&Changed == 0 || a[10]&Changed == 0 || a[12].Keyframes() > 0 {
		t.Errorf("marks %x", a)
	}
}
