package testserver

import "github.com/timdrysdale/vw/lib/mpegts"

// streamCheck feeds a Checker with whole packets. If the server cuts the stream, the partial packet at the end is not
// an error of the stream, and is left out.
type streamCheck struct {
	*mpegts.Checker
	partial    []byte // the start of a packet
	misaligned bool   // packets begin elsewhere: what is partial is not known
}

func (c *streamCheck) Write(p []byte) {
	if n := len(c.partial); n > 0 {
		fill := min(mpegts.PacketSize-n, len(p))
		c.partial = append(c.partial, p[:fill]...)
		if len(c.partial) < mpegts.PacketSize {
			return
		}
		c.Checker.Write(c.partial)
		c.partial = c.partial[:0]
		p = p[fill:]
	}
	whole := len(p)
	if !c.misaligned {
		whole -= len(p) % mpegts.PacketSize
		c.misaligned = whole < len(p) && p[whole] != mpegts.SyncByte
	}
	if c.misaligned {
		whole = len(p)
	}
	c.Checker.Write(p[:whole])
	c.partial = append(c.partial, p[whole:]...)
}

// End finishes the check. cut says that the server ended the stream.
func (c *streamCheck) End(cut bool) {
	if !cut {
		c.Checker.Write(c.partial)
	}
	c.Checker.End()
}
