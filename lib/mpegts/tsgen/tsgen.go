// Package tsgen generates MPEG transport streams for tests and benchmarks: valid headers, pictures of random bytes.
//
// It is vw's own and may change.
package tsgen

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// The PIDs of a generated stream.
const (
	PMTPID   = 0x1000
	VideoPID = 0x0100
	AudioPID = 0x0101
)

// Options configure a Generator. The zero value makes keyframes only, of one packet each.
type Options struct {
	// GOP is the number of frames of a group of pictures, at least 1.
	GOP int
	// KeyPackets and FramePackets are the numbers of packets of a keyframe and of any other frame, at least 1.
	KeyPackets, FramePackets int
	// Audio adds an audio PES packet of three packets after every second frame. With Interleave its last two packets
	// follow the next frame's first packet.
	Audio, Interleave bool
	// PAT and PMT come before each keyframe. NoTables leaves them out, except before the first frame; TablesEvery
	// puts them before every TablesEvery-th frame instead.
	NoTables    bool
	TablesEvery int
	// NoRandomAccess leaves random_access_indicator out: only the sequence header shows a keyframe.
	NoRandomAccess bool
	// Seed is the seed of the random bytes.
	Seed uint64
}

// FrameTicks is the time from one frame to the next, in units of 1/90000 s: 25 frames a second.
const FrameTicks = mpegts.ClockRate / 25

// Generator generates a stream frame by frame.
type Generator struct {
	o        Options
	video    mpegts.StreamType
	frame    int
	counters map[uint16]byte
	random   *rand.ChaCha8
	pending  []byte // audio that follows the next frame's first packet
}

// New returns a Generator.
func New(o Options) *Generator {
	o.GOP = max(o.GOP, 1)
	o.KeyPackets, o.FramePackets = max(o.KeyPackets, 1), max(o.FramePackets, 1)
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], o.Seed)
	return &Generator{
		o: o, video: mpegts.StreamMPEG2Video, counters: map[uint16]byte{}, random: rand.NewChaCha8(seed),
	}
}

// Frame appends the next frame with the tables before it and the audio after it.
func (g *Generator) Frame(dst []byte) []byte {
	n := g.frame
	g.frame++
	key := n%g.o.GOP == 0
	if n == 0 || !g.o.NoTables && (g.o.TablesEvery == 0 && key || g.o.TablesEvery > 0 && n%g.o.TablesEvery == 0) {
		dst = g.tables(dst)
	}
	packets := g.o.FramePackets
	picture := pictureP
	if key {
		packets = g.o.KeyPackets
		picture = slices.Concat(sequenceHeader, pictureI)
	}
	pts := uint64(n) * FrameTicks
	dst = g.packet(dst, VideoPID, pes(0xE0, pts, picture), key && !g.o.NoRandomAccess, true)
	dst = append(dst, g.pending...)
	g.pending = nil
	for range packets - 1 {
		dst = g.packet(dst, VideoPID, nil, false, false)
	}
	if g.o.Audio && n%2 == 1 {
		dst = g.packet(dst, AudioPID, pes(0xC0, pts, nil), true, true)
		rest := g.packet(nil, AudioPID, nil, false, false)
		rest = g.packet(rest, AudioPID, nil, false, false)
		if g.o.Interleave {
			g.pending = rest
		} else {
			dst = append(dst, rest...)
		}
	}
	return dst
}

// Frames returns a stream of n frames.
func Frames(o Options, n int) []byte {
	g := New(o)
	var b []byte
	for range n {
		b = g.Frame(b)
	}
	return append(b, g.pending...)
}

func (g *Generator) tables(dst []byte) []byte {
	pat := []byte{0, 1, 0xE0 | PMTPID>>8, PMTPID & 0xFF}
	dst = g.packet(dst, mpegts.PIDPAT, section(0, pat), false, true)
	pmt := []byte{0xE0 | VideoPID>>8, VideoPID & 0xFF, 0xF0, 0}
	pmt = append(pmt, byte(g.video), 0xE0|VideoPID>>8, VideoPID&0xFF, 0xF0, 0)
	if g.o.Audio {
		pmt = append(pmt, 0x03, 0xE0|AudioPID>>8, AudioPID&0xFF, 0xF0, 0)
	}
	return g.packet(dst, PMTPID, section(2, pmt), false, true)
}

// packet appends a packet that begins with payload and is filled with random bytes, or with 0xFF after a section.
func (g *Generator) packet(dst []byte, pid uint16, payload []byte, access, start bool) []byte {
	header := []byte{mpegts.SyncByte, byte(pid >> 8), byte(pid), 0x10 | g.counters[pid]}
	g.counters[pid] = (g.counters[pid] + 1) & 0x0F
	if start {
		header[1] |= 0x40
	}
	if access {
		header[3] |= 0x20
		header = append(header, 1, 0x40)
	}
	dst = append(append(dst, header...), payload...)
	fill := make([]byte, mpegts.PacketSize-len(header)-len(payload))
	if pid == mpegts.PIDPAT || pid == PMTPID {
		for i := range fill {
			fill[i] = 0xFF
		}
	} else {
		_, _ = g.random.Read(fill) // it cannot fail
		for i, b := range fill {
			if b == 0 {
				fill[i] = 1 // no start codes by chance
			}
		}
	}
	return append(dst, fill...)
}

// The headers of MPEG video before a slice (ISO/IEC 13818-2, 6.2): 160x120 at 25 frames a second.
var (
	sequenceHeader = []byte{0, 0, 1, 0xB3, 0x0A, 0x00, 0x78, 0x13, 0xFF, 0xFF, 0xE1, 0x18}
	pictureI       = []byte{0, 0, 1, 0x00, 0x00, 0x0F, 0xFF, 0xF8, 0, 0, 1, 0x01}
	pictureP       = []byte{0, 0, 1, 0x00, 0x00, 0x17, 0xFF, 0xFB, 0x80, 0, 0, 1, 0x01}
)

// pes returns the header of a PES packet of unbounded length with a PTS, and the bytes that follow it.
func pes(id byte, pts uint64, es []byte) []byte {
	b := []byte{0, 0, 1, id, 0, 0, 0x80, 0x80, 5,
		0x21 | byte(pts>>29)&0x0E, byte(pts >> 22), 0x01 | byte(pts>>14), byte(pts >> 7), 0x01 | byte(pts<<1)}
	return append(b, es...)
}

// section returns the payload of a packet that carries a PAT's or PMT's section with the given body.
func section(table byte, body []byte) []byte {
	n := 5 + len(body) + 4
	b := append([]byte{table, 0xB0 | byte(n>>8), byte(n), 0, 1, 0xC1, 0, 0}, body...)
	crc := mpegts.CRC32(b)
	b = binary.BigEndian.AppendUint32(b, crc)
	return append([]byte{0}, b...) // pointer_field
}
