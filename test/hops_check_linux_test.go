package test

import (
	"fmt"
	"hash/maphash"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// TestHops kills the parts of a chain of three hops with kill -9, in turn and at random moments, with --live and
// without. What is missing at the far end is in the ledgers, which scripts/hops joins: without --live it is at most
// what a pipe and the next vw-push held. Without a kill nothing is missing. VW_TEST_KILLS is how many parts are killed
// in each form.
func TestHops(t *testing.T) {
	t.Parallel()
	kills := setting(t, "VW_TEST_KILLS", 6)
	for _, form := range []struct {
		name        string
		live, exact bool
		kills       int
	}{
		{"no kill", false, true, 0},
		{"no kill, live", true, true, 0},
		{"killed", false, true, kills},
		{"killed, live", true, true, kills},
		{"killed in full flow", false, false, kills},
	} {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			tool(t, "jq") // for scripts/hops
			c := newChain(t, form.live)
			c.flows(100_000)
			for n := range form.kills {
				c.kill(part(n)%chainParts, form.exact)
				c.flows(1 + c.random.IntN(200_000))
			}
			c.flows(300_000)
			source := c.finish()
			c.check(source)
		})
	}
}

// check holds what has come out against the source and the ledgers.
func (c *chain) check(source []byte) {
	c.t.Helper()
	missing, twice := c.compare(source)
	var files []string
	var lost int64 // by the ledgers
	areExact := true
	for i, l := range c.all {
		if l.killed && !l.exact {
			areExact = false
			continue
		}
		files = append(files, l.file)
		lost += c.lostIn(l, c.reader(i))
	}
	c.t.Logf("%d bytes in, %d missing, %d twice; kills by part %v", len(source), missing, twice, c.kills)
	if !areExact {
		// Nobody knows what a process had counted that was killed in full flow. What it may have lost is known.
		pushes := c.kills[0] + c.kills[2] + c.kills[4]
		if limit := int64(pushes) * (chainPipe + chainBuffer + chainRead); missing > limit {
			c.t.Errorf("%d bytes are missing after %d kills of vw-push, which may be %d", missing, pushes, limit)
		}
		return
	}
	if missing > lost {
		c.t.Errorf("%d bytes are missing, of which the ledgers say %d", missing, lost)
	}
	if len(c.all) == int(chainParts) && !c.live && (missing > 0 || twice > 0) {
		c.t.Errorf("nothing was killed, and %d bytes are missing, %d came twice", missing, twice)
	}
	out, err := exec.Command(filepath.Join("..", "scripts", "hops"), files...).CombinedOutput()
	c.t.Logf("%d ledgers; they say that %d bytes were lost\n%s", len(files), lost, out)
	if err != nil {
		c.t.Errorf("scripts/hops: %v", err)
	}
}

// reader returns the vw-push that read what the i-th process, a vw-ingest, wrote, or nil.
func (c *chain) reader(i int) *life {
	l := c.all[i]
	if l.part.isPush() || i+1 == len(c.all) || c.all[i+1].part != l.part+1 {
		return nil
	}
	return c.all[i+1] // they are started together
}

// lostIn returns how many bytes were lost in a process, and in the pipe to the one that reads its output, which may be
// nil. Without live, a vw-ingest loses nothing: its publisher sends again what it has not confirmed.
func (c *chain) lostIn(l, reader *life) (lost int64) {
	c.t.Helper()
	out := l.ledger.Out[0]
	if c.live {
		lost = out.Dropped.Sum()
	}
	if l.killed && (c.live || l.part.isPush()) {
		lost += out.Held + out.Unconfirmed
	}
	if reader != nil {
		inPipe := out.Confirmed - reader.ledger.In.Bytes
		if inPipe > 0 && !reader.killed {
			c.t.Errorf("%v wrote %d bytes that vw-push, which has come to its end, has not read: %+v", l, inPipe, out)
		}
		lost += max(inPipe, 0)
	}
	if limit := int64(chainPipe + chainBuffer + chainRead); !c.live && lost > limit {
		c.t.Errorf("%v lost %d bytes, which may be %d: %+v", l, lost, limit, out)
	}
	if !c.live && !l.killed && l.part.isPush() && out.Confirmed != out.In {
		c.t.Errorf("%v has come to its end and not confirmed all: %+v", l, out)
	}
	return lost
}

// compare returns how many bytes of the source's packets, without those of tables, have not come out, and how many came
// more than once. What else comes out must be tables or announcements, or be where packets were cut off.
func (c *chain) compare(source []byte) (missing, twice int64) {
	c.t.Helper()
	hash := maphash.MakeSeed()
	count := make(map[uint64]int)
	for at := 0; at+mpegts.PacketSize <= len(source); at += mpegts.PacketSize {
		if p := mpegts.Packet(source[at : at+mpegts.PacketSize]); isMedia(p) {
			count[maphash.Bytes(hash, p)] = 0
		}
	}
	junk := 0
	for _, out := range c.output {
		for b := out.b; len(b) >= mpegts.PacketSize; {
			p := mpegts.Packet(b[:mpegts.PacketSize])
			key := maphash.Bytes(hash, p)
			n, ok := count[key]
			switch {
			case ok:
				count[key] = n + 1
			case p[0] != 0x47 || isMedia(p) && p.HasPayload():
				junk++
				b = b[1:]
				continue
			}
			b = b[mpegts.PacketSize:]
		}
	}
	for _, n := range count {
		switch {
		case n == 0:
			missing += mpegts.PacketSize
		default:
			twice += int64(n-1) * mpegts.PacketSize
		}
	}
	kills := 0
	for _, n := range c.kills {
		kills += n
	}
	// A vw-push that is started in the middle of a packet, and a vw-ingest that was killed in one, leave a part of it.
	if limit := kills * 4 * mpegts.PacketSize; junk > limit {
		c.t.Errorf("%d bytes are not of the source, after %d kills", junk, kills)
	}
	return missing, twice
}

func isMedia(p mpegts.Packet) bool { return p.PID() == 0x100 || p.PID() == 0x101 }

func (l *life) String() string { return fmt.Sprintf("%s of hop %d", l.name, l.part.hop()) }
