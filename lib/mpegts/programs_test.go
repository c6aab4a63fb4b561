package mpegts

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"
)

// testSection returns a PAT's or PMT's section.
func testSection(table byte, number uint16, body ...byte) []byte {
	n := 5 + len(body) + 4
	b := append([]byte{table, 0xB0 | byte(n>>8), byte(n), byte(number >> 8), byte(number), 0xC1, 0, 0}, body...)
	return binary.BigEndian.AppendUint32(b, CRC32(b))
}

// testPAT names programs and the PIDs of their PMTs, in turn.
func testPAT(entries ...uint16) []byte {
	var body []byte
	for i := 0; i < len(entries); i += 2 {
		body = binary.BigEndian.AppendUint16(body, entries[i])
		body = binary.BigEndian.AppendUint16(body, 0xE000|entries[i+1])
	}
	return testSection(tablePAT, 1, body...)
}

// testPMT lists the streams of a program.
func testPMT(number uint16, streams ...Stream) []byte {
	body := []byte{0xE1, 0x00, 0xF0, 0}
	for _, s := range streams {
		var descriptors []byte
		if s.described == codecOther {
			descriptors = []byte{5, 4, 'A', 'V', '0', '1'}
		}
		body = append(body, byte(s.Type), 0xE0|byte(s.PID>>8), byte(s.PID), 0xF0, byte(len(descriptors)))
		body = append(body, descriptors...)
	}
	return testSection(tablePMT, number, body...)
}

// scanPackets passes packets to s and returns all changes.
func scanPackets(s *Scanner, b []byte) (changes []Change) {
	for ; len(b) > 0; b = b[PacketSize:] {
		if s.Packet(b[:PacketSize])&Changed != 0 {
			changes = append(changes, s.Change())
		}
	}
	return changes
}

const (
	videoPID = 0x100
	audioPID = 0x101
)

var (
	h264Stream  = Stream{PID: videoPID, Type: StreamH264}
	mpegStream  = Stream{PID: videoPID, Type: StreamMPEG2Video}
	audioStream = Stream{PID: audioPID, Type: 0x0F}
)

// h264Keyframe is an access unit with delimiter, SPS, PPS and the beginning of an IDR slice.
func h264Keyframe(level byte) []byte {
	return []byte{0, 0, 0, 1, 9, 0xF0, 0, 0, 0, 1, 0x67, 66, 0, level, 0xDA, 0x80, 0, 0, 0, 1, 0x68, 0xCE, 0x80,
		0, 0, 0, 1, 0x65, 0x88, 0x80}
}

// twice sends each packet twice.
func twice(b []byte) (doubled []byte) {
	for p := range slices.Chunk(b, PacketSize) {
		doubled = append(append(doubled, p...), p...)
	}
	return doubled
}

// TestPrograms: the first program with video is followed, wherever its PMT is and whatever else is on its PID.
func TestPrograms(t *testing.T) {
	const pmt, low = 0x1000, 0x10
	private := Stream{PID: videoPID, Type: 0x06}
	pes := packetize([]byte{0, 0, 0, 1, 9, 0xF0, 0, 0, 0, 1, 0x67, 66, 0, 30, 0xDA}, videoPID, 1)
	join := func(pid uint16, sections ...[]byte) []byte {
		return appendSection(nil, pid, slices.Concat(sections...))
	}
	for name, c := range map[string]struct {
		b     []byte
		video bool
		kind  StreamType
	}{
		"two PMTs on a PID": {slices.Concat(join(PIDPAT, testPAT(1, pmt, 2, pmt)),
			join(pmt, testPMT(1, audioStream)), join(pmt, testPMT(2, h264Stream))), true, StreamH264},
		"a PMT that the PAT does not name": {slices.Concat(join(PIDPAT, testPAT(2, pmt)),
			join(pmt, testPMT(1, Stream{PID: 0x200, Type: StreamHEVC})), join(pmt, testPMT(2, h264Stream))),
			true, StreamH264},
		"two PMTs in a packet": {slices.Concat(join(PIDPAT, testPAT(1, pmt, 2, pmt)),
			join(pmt, testPMT(1, audioStream), testPMT(2, h264Stream))), true, StreamH264},
		"a low PID": {slices.Concat(join(PIDPAT, testPAT(0, 0x11, 1, low)), join(low, testPMT(1, h264Stream))),
			true, StreamH264},
		"video by descriptor": {slices.Concat(join(PIDPAT, testPAT(1, pmt)),
			join(pmt, testPMT(1, audioStream, Stream{videoPID, 0x06, codecOther}))), true, 0x06},
		"video by stream_id": {slices.Concat(join(PIDPAT, testPAT(1, pmt)), join(pmt, testPMT(1, audioStream, private)),
			pes),
			true, 0x06},
		"private sections by stream_id": {slices.Concat(join(PIDPAT, testPAT(1, pmt)),
			join(pmt, testPMT(1, audioStream, Stream{PID: videoPID, Type: 0x05})), pes),
			true, 0x05},
		"first stream by stream_id": {slices.Concat(join(PIDPAT, testPAT(1, pmt)),
			join(pmt, testPMT(1, private, audioStream)), pes),
			true, 0x06},
		"a PMT of three packets, each sent twice": {slices.Concat(join(PIDPAT, testPAT(1, pmt)),
			twice(join(pmt, testPMT(1, append(slices.Repeat([]Stream{audioStream}, 80), h264Stream)...)))),
			true, StreamH264},
		"audio alone": {slices.Concat(join(PIDPAT, testPAT(1, pmt)), join(pmt, testPMT(1, audioStream))), false, 0x0F},
		"no PMT":      {pes, true, 0},
	} {
		var s Scanner
		scanPackets(&s, c.b)
		if stream, video, ok := s.Followed(); !ok || video != c.video || stream.Type != c.kind {
			t.Errorf("%s: %+v, video %v", name, stream, video)
		}
	}
}

// TestLearnedVideoIsRead: H.264 under a private stream type has its keyframes read.
func TestLearnedVideoIsRead(t *testing.T) {
	es := h264Keyframe(30)
	b := slices.Concat(appendSection(nil, PIDPAT, testPAT(1, 0x1000)),
		appendSection(nil, 0x1000, testPMT(1, Stream{PID: videoPID, Type: 0x06})), packetize(es, videoPID, 1))
	marks := new(Scanner).AppendMarks(nil, b)
	if got := marks[2]; got&RandomAccess == 0 || got.AccessUnits() != 1 || got&MissesSets != 0 {
		t.Errorf("mark %x", got)
	}
}

// TestTableChanges: a PMT that is a new version of the old program is distinguished from one that no decoder survives.
func TestTableChanges(t *testing.T) {
	const pmt = 0x1000
	tables := func(number uint16, streams ...Stream) []byte {
		b := appendSection(nil, PIDPAT, testPAT(number, pmt))
		return append(b, appendSection(nil, pmt, testPMT(number, streams...))...)
	}
	before := tables(1, h264Stream, audioStream)
	for name, c := range map[string]struct {
		after []byte
		want  Change
	}{
		"the same":           {before, 0},
		"audio leaves":       {tables(1, h264Stream), TablesChanged},
		"subtitles come":     {tables(1, h264Stream, audioStream, Stream{PID: 0x102, Type: 0x06}), TablesChanged},
		"another codec":      {tables(1, mpegStream, audioStream), CodecChanged},
		"another video PID":  {tables(1, Stream{PID: 0x200, Type: StreamH264}, audioStream), CodecChanged},
		"another audio type": {tables(1, h264Stream, Stream{PID: audioPID, Type: 0x03}), CodecChanged},
		"another audio PID":  {tables(1, h264Stream, Stream{PID: 0x201, Type: 0x0F}), CodecChanged},
		"another number":     {tables(2, h264Stream, audioStream), TablesChanged},
	} {
		var s Scanner
		if got := scanPackets(&s, before); len(got) > 0 {
			t.Errorf("%s: %v at the start", name, got)
		}
		var got Change
		for _, change := range scanPackets(&s, c.after) {
			got |= change
		}
		if got != c.want {
			t.Errorf("%s: %04b, want %04b", name, got, c.want)
		}
	}
}

// TestClockJumps: a DTS that goes back or too far ahead is a jump, a wrap, a pause and an announced gap are none.
func TestClockJumps(t *testing.T) {
	const s = ClockRate
	packet := func(dts uint64) []byte {
		b := packetize([]byte{0, 0, 0, 1, 9, 0xF0, 0, 0, 0, 1, 0x41, 0x9A, 0, 0x80, 0x80}, videoPID, 1)
		h := Packet(b).Payload()[9:]
		h[0], h[1], h[2] = 0x21|byte(dts>>29)&0x0E, byte(dts>>22), 0x01|byte(dts>>14)
		h[3], h[4] = byte(dts>>7), 0x01|byte(dts<<1)
		return b
	}
	for name, c := range map[string]struct {
		from, to  uint64
		pause     time.Duration
		announced bool
		want      bool
	}{
		"the next frame":        {0, s / 25, 0, false, false},
		"a little back":         {10 * s, 9 * s, 0, false, false},
		"back":                  {10 * s, 9*s - 1, 0, false, true},
		"back, announced":       {10 * s, 9*s - 1, 0, true, true},
		"a little ahead":        {0, 10 * s, 0, false, false},
		"ahead":                 {0, 10*s + 1, 0, false, true},
		"ahead, announced":      {0, 100 * s, 0, true, false},
		"ahead after a pause":   {0, 69 * s, time.Minute, false, false},
		"far ahead, same pause": {0, 71 * s, time.Minute, false, true},
		"ahead after 30 hours":  {0, 12_600 * s, 30 * time.Hour, false, false}, // and over the wrap
		"the wrap":              {ClockModulus - s/25, 0, 0, false, false},
		"back over the wrap":    {s, ClockModulus - s, 0, false, true},
	} {
		var scan Scanner
		scan.followStream(h264Stream, true)
		scan.ReceivedAt = time.Unix(1000, 0)
		scanPackets(&scan, packet(c.from))
		scan.ReceivedAt = scan.ReceivedAt.Add(c.pause)
		b := packet(c.to)
		if c.announced {
			b = append(AppendDiscontinuity(nil, b), b...)
		}
		got := scanPackets(&scan, b)
		if want := []Change{ClockJump}; c.want != slices.Equal(got, want) || !c.want && len(got) > 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestSetsChanged: another SPS makes another stream, the same one sent again does not.
func TestSetsChanged(t *testing.T) {
	var s Scanner
	s.followStream(h264Stream, true)
	for i, c := range []struct {
		sps  byte
		want []Change
	}{{30, nil}, {30, nil}, {31, []Change{SetsChanged}}, {31, nil}, {30, []Change{SetsChanged}}} {
		b := packetize(h264Keyframe(c.sps), videoPID, 1)
		b[3] += byte(i) // the continuity counter
		if got := scanPackets(&s, b); !slices.Equal(got, c.want) {
			t.Errorf("access unit %d: %v, want %v", i, got, c.want)
		}
	}
}
