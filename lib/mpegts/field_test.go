package mpegts

import (
	"slices"
	"strings"
	"testing"
)

// Headers of MPEG-2 video: a sequence that is not progressive, and pictures that are frames or fields.
const (
	interlacedSequence = "\x00\x00\x01\xB3\x0A\x00\x78\x13\xFF\xFF\xE1\x18\x00\x00\x01\xB5\x14\x82\x00\x01\x00\x00"
	intraPicture       = "\x00\x00\x01\x00\x00\x0F\xFF\xF8"
	otherPicture       = "\x00\x00\x01\x00\x00\x17\xFF\xFB\x80"
	frameStructure     = "\x00\x00\x01\xB5\x8F\xFF\xF3\x80\x80\x00\x00\x01\x01"
	topField           = "\x00\x00\x01\xB5\x8F\xFF\xF1\x80\x80\x00\x00\x01\x01"
	bottomField        = "\x00\x00\x01\xB5\x8F\xFF\xF2\x80\x80\x00\x00\x01\x01"
)

// TestFieldsOfMPEG2: both fields of a frame are one access unit, in one PES packet or in two, also where they follow
// frames that each had a PES packet, so that nothing was read of them but the first header.
func TestFieldsOfMPEG2(t *testing.T) {
	const pid, room = 0x100, 170
	var es []byte
	add := func(parts ...string) {
		for _, part := range parts {
			es = append(es, part...)
		}
		es = append(es, make([]byte, (room-len(es)%room)%room)...)
	}
	keyframe, frame := Mark(0).plusUnit(true)|RandomAccess, Mark(0).plusUnit(false)
	var want []Mark
	for range 2 {
		add(interlacedSequence, intraPicture, frameStructure)
		want = append(want, keyframe)
		for range 2 * enoughSingles {
			add(otherPicture, frameStructure)
			want = append(want, frame)
		}
		add(otherPicture, topField)
		add(otherPicture, bottomField)
		want = append(want, frame, 0)
		add(interlacedSequence, intraPicture, topField)
		add(otherPicture, bottomField)
		want = append(want, keyframe, 0)
		add(otherPicture, topField, otherPicture, bottomField)
		want = append(want, frame)
	}
	for _, quick := range []bool{false, true} {
		var s Scanner
		s.followStream(Stream{PID: pid, Type: StreamMPEG2Video}, true)
		if marks := scanAll(t, &s, packetize(es, pid, 1), quick); !slices.Equal(marks, want) {
			t.Errorf("quick %v: marks %x, want %x", quick, marks, want)
		}
	}
}

// TestSliceForm: what is read of an SPS, those of the High profiles with scaling lists among them.
func TestSliceForm(t *testing.T) {
	const rest = " 1 011 010 0 010 1 0 0 1" // fields, from log2_max_frame_num_minus4 on
	lists := "1 000010001" +                // the first coefficient ends the list
		" 0 1" + strings.Repeat(" 1", 16) + " 0 0 0 1" + strings.Repeat(" 1", 64) + " 0"
	for _, c := range []struct {
		name    string
		profile byte
		bits    string // from seq_parameter_set_id on
		want    sliceForm
	}{
		{"Main", 77, "1" + rest, sliceForm{fields: true, frameNumBits: 4}},
		{"frames only", 77, "1 010 011 010 0 010 1 1 1", sliceForm{frameNumBits: 5}},
		{"order of pictures by a list", 77, "1 1 010 1 00101 00101 011 010 010 010 0 010 1 0 0 1",
			sliceForm{fields: true, frameNumBits: 4}},
		{"cut off", 77, "1 1 011", sliceForm{frameNumBits: 4}},
		{"High", 100, "1 010 1 1 0 1 " + lists + rest, sliceForm{fields: true, frameNumBits: 4}},
		{"High 4:4:4, planes", 244, "1 00100 1 1 1 0 1 " + lists + " 0 0 0 0" + rest,
			sliceForm{fields: true, planes: true, frameNumBits: 4}},
	} {
		if got := readSliceForm(append([]byte{0x67, c.profile, 0, 30}, bitString(c.bits)...)); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// bitString returns bits that are written as 0 and 1, without the zero bits that fill the last byte.
func bitString(s string) (b []byte) {
	n := 0
	for _, c := range strings.ReplaceAll(s, " ", "") {
		if n%8 == 0 {
			b = append(b, 0)
		}
		b[n/8] |= byte(c-'0') << (7 - n%8)
		n++
	}
	return b
}
