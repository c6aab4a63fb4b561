package testserver

import "github.com/timdrysdale/vw/lib/mpegts"

// check gives a Checker the stream in whole packets, so that the one at the end that the server itself has torn can be
// left out.
type check struct {
	*mpegts.Checker
	rest   []byte // the start of a packet
	astray bool   // packets begin elsewhere: there is no telling what is torn
}

func (c *check) Write(p []byte) {
	if n := len(c.rest); n > 0 {
		fill := min(mpegts.PacketSize-n, len(p))
		c.rest = append(c.rest, p[:fill]...)
		if len(c.rest) < mpegts.PacketSize {
			return
		}
		c.Checker.Write(c.rest)
		c.rest = c.rest[:0]
		p = p[fill:]
	}
	whole := len(p)
	if !c.astray {
		whole -= len(p) % mpegts.PacketSize
		c.astray = whole < len(p) && p[whole] != mpegts.SyncByte
	}
	if c.astray {
		whole = len(p)
	}
	c.Checker.Write(p[:whole])
	c.rest = append(c.rest, p[whole:]...)
}

// End judges what is left. cut says that the stream ended where it did because of the server.
func (c *check) End(cut bool) {
	if !cut {
		c.Checker.Write(c.rest)
	}
	c.Checker.End()
}
