package viewer

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

// withStreamType returns a stream of ffmpeg's in whose PMT one stream type is another.
func withStreamType(t *testing.T, b []byte, from, to mpegts.StreamType) []byte {
	t.Helper()
	b = bytes.Clone(b)
	for i := 0; i < len(b); i += mpegts.PacketSize {
		if mpegts.Packet(b[i:i+mpegts.PacketSize]).PID() != 0x1000 {
			continue
		}
		section := b[i+5 : i+mpegts.PacketSize] // after the packet's header and pointer_field
		section = section[:3+(int(section[1]&0x0F)<<8|int(section[2]))]
		at := bytes.Index(section, []byte{byte(from), 0xE1, 0x00}) // with PID 0x100
		if at < 0 {
			t.Fatal("the PMT has no such stream")
		}
		section[at] = byte(to)
		end := len(section) - 4
		binary.BigEndian.PutUint32(section[end:], mpegts.CRC32(section[:end]))
	}
	return b
}

// TestCodecs: the PMT says what a stream is; what turns out to be video is no sound.
func TestCodecs(t *testing.T) {
	t.Parallel()
	h264, err := os.ReadFile("../../test/testdata/h264.ts")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		b      []byte
		video  string
		player string
	}{
		{"H.264", h264, "h264", "mpegts"},
		{"H.264 as private PES", withStreamType(t, h264, mpegts.StreamH264, 0x06), "other", "none"},
		{"H.264 as user private", withStreamType(t, h264, mpegts.StreamH264, 0x99), "other", "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var scan mpegts.Scanner
			scan.AppendMarks(nil, c.b)
			tables, _ := scan.Tables()
			p := newProbe()
			chunk := stream.Chunk{Kind: stream.Packets, RandomAccess: true, PSI: tables, Data: c.b}
			p.frame(newFrame(0, []stream.Chunk{chunk}), time.Now())
			if name, _ := player(p.codecs); p.codecs.Video != c.video || p.codecs.Audio == "other" || name != c.player {
				t.Errorf("%+v, played by %q", p.codecs, name)
			}
		})
	}
}

// TestBitRate: it is that of the last seconds, also right after the stream has begun anew.
func TestBitRate(t *testing.T) {
	t.Parallel()
	p := newProbe()
	begin := time.Now()
	if rate := p.bitRate(begin); rate != 0 {
		t.Errorf("before the first byte: %d", rate)
	}
	f := newFrame(0, []stream.Chunk{{Kind: stream.Packets, Data: make([]byte, 1000)}})
	for i := range 120 { // ten a second
		now := begin.Add(time.Duration(i) * time.Second / 10)
		if i == 85 {
			p.restart()
		}
		p.frame(f, now)
		want := int64(80_000)
		if i < 10 {
			want = 0
		}
		if rate := p.bitRate(now); rate != want {
			t.Fatalf("after %v: %d bit/s, want %d", now.Sub(begin), rate, want)
		}
	}
	if rate := p.bitRate(begin.Add(time.Minute)); rate != 0 {
		t.Errorf("long after the last byte: %d", rate)
	}
}
