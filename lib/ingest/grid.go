package ingest

import "github.com/timdrysdale/vw/lib/mpegts"

// grid passes on a stream that looks like packets from its first byte on in whole packets, and keeps the part of one at
// its end: what may be the beginning of a packet must not be delivered before it is known what follows. It passes on
// everything as it comes once a packet should begin and does not.
type grid struct {
	source
	part    [mpegts.PacketSize]byte
	n       int  // bytes of part that are held
	packets bool // a whole packet has passed
	off     bool // the stream is no packets, or not any more

	passed    int64 // bytes
	confirmer *confirmer
}

// Read needs room for two packets at least.
func (g *grid) Read(p []byte) (int, error) {
	for {
		n := copy(p, g.part[:g.n])
		more, err := g.source.Read(p[n:])
		if more > 0 {
			n = g.keepPart(p[:n+more])
		} else {
			n = 0
		}
		if n > 0 || err != nil {
			g.passed += int64(n)
			return n, err
		}
		g.confirmer.hold(g.passed, g.n)
	}
}

// keepPart keeps the part of a packet at the end of b, which begins where a packet should, and returns the length of
// the rest.
func (g *grid) keepPart(b []byte) int {
	g.n = 0
	for i := 0; i < len(b) && !g.off; i += mpegts.PacketSize {
		g.off = b[i] != mpegts.SyncByte
	}
	if g.off {
		return len(b)
	}
	whole := len(b) / mpegts.PacketSize * mpegts.PacketSize
	g.n = copy(g.part[:], b[whole:])
	g.packets = g.packets || whole > 0
	return whole
}
