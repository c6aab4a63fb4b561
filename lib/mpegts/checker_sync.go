package mpegts

import "bytes"

const (
	// syncRun is how many sync bytes, a packet apart, show where packets begin.
	syncRun = 3
	// syncWindow is how many bytes are searched at once where sync is lost.
	syncWindow = 8 * PacketSize
)

// Write checks the next bytes of the stream.
func (c *Checker) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if c.synced {
			p = c.readPackets(p)
		} else {
			p = c.findSync(p)
		}
	}
	return n, nil
}

// readPackets checks the packets of p for as long as they begin with a sync byte, and returns the rest.
func (c *Checker) readPackets(p []byte) []byte {
	if len(c.pending) > 0 {
		n := min(PacketSize-len(c.pending), len(p))
		c.pending = append(c.pending, p[:n]...)
		if len(c.pending) < PacketSize {
			return nil
		}
		c.checkPacket(c.pending)
		c.pending = c.pending[:0]
		p = p[n:]
	}
	for len(p) >= PacketSize && p[0] == SyncByte {
		c.checkPacket(p[:PacketSize])
		p = p[PacketSize:]
	}
	if len(p) == 0 || p[0] != SyncByte {
		c.synced = len(p) == 0
		return p
	}
	c.pending = append(c.pending, p...)
	return nil
}

// findSync looks for packets in the pending bytes and in p, and returns the rest of p.
func (c *Checker) findSync(p []byte) []byte {
	n := min(syncWindow-len(c.pending), len(p))
	c.pending = append(c.pending, p[:n]...)
	p = p[n:]
	at := 0
	for {
		next := bytes.IndexByte(c.pending[at:], SyncByte)
		if next < 0 {
			at = len(c.pending)
			break
		}
		at += next
		if len(c.pending) <= at+(syncRun-1)*PacketSize {
			break
		}
		if packets, _ := countPackets(c.pending[at:]); packets >= syncRun-1 {
			c.skipUnsynced(at)
			c.resync()
			return p
		}
		at++
	}
	c.skipUnsynced(at)
	return p
}

// countPackets returns how many packets follow each other from the start of b, and how many bytes follow them. The
// last packet does not count if the byte after it is no sync byte.
func countPackets(b []byte) (packets, rest int) {
	for len(b) >= PacketSize && b[0] == SyncByte {
		packets++
		b = b[PacketSize:]
	}
	if len(b) > 0 && b[0] != SyncByte {
		packets--
	}
	return packets, len(b)
}

// skipUnsynced drops the first n pending bytes, which are no packets.
func (c *Checker) skipUnsynced(n int) {
	if n == 0 {
		return
	}
	if !c.syncErrorCounted {
		c.syncErrorCounted = true
		c.report.SyncErrors++
		c.record(syncProblem, c.pending, "at byte %d", c.offset)
	}
	c.offset += int64(n)
	c.pending = append(c.pending[:0], c.pending[n:]...)
}

// resync checks the pending bytes, which begin with a packet.
func (c *Checker) resync() {
	found := c.pending
	c.pending = nil // readPackets needs less than syncWindow
	c.synced, c.syncErrorCounted = true, false
	c.Write(found)
}

// End says that the stream has ended. The bytes that are still pending are checked.
func (c *Checker) End() {
	if !c.synced {
		// A stream may be shorter than syncRun packets, and its last two packets may follow bytes that are none.
		for at := range c.pending {
			packets, rest := countPackets(c.pending[at:])
			if packets >= 1 && at == 0 && !c.syncErrorCounted || packets >= syncRun-1 && rest == 0 {
				c.skipUnsynced(at)
				c.resync()
				break
			}
		}
	}
	c.skipUnsynced(len(c.pending))
	c.synced = false
	if mark, ok := c.scan.Decide(); ok {
		c.countFrames(mark)
	}
}
