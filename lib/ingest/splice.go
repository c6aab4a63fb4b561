package ingest

import (
	"bytes"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

// maxTails is how many tails are held at most: of publishers that came and went without a whole packet.
const maxTails = 16

// tail is what a publisher has left at its end that may be the beginning of a packet: 187 bytes at most. It is held
// until it is known what follows. When packets do, it is dropped as torn, so that they stay on the grid; when other
// bytes do, or nothing, it is delivered, so that what is no MPEG-TS stays exact. The ledger counts it as read and held
// meanwhile.
type tail struct {
	data []byte
	kind stream.Kind // Partial after packets; Bytes of a stream that was too short to tell
}

// takePartial takes what may be the beginning of a packet out of the last batch of a reader. The account has counted it
// with an earlier batch.
func takePartial(last *stream.Batch) (tails []tail) {
	var rest []stream.Chunk
	for _, c := range last.Chunks {
		part := c.Kind == stream.Partial || c.Kind == stream.Unsynced
		if part && len(c.Data) < mpegts.PacketSize && c.Data[0] == mpegts.SyncByte {
			tails = append(tails, tail{bytes.Clone(c.Data), c.Kind})
		} else {
			rest = append(rest, c)
		}
	}
	last.Chunks = rest
	return tails
}

// gridTail takes what the grid has kept, and counts it.
func (s *Server) gridTail(g *grid) []tail {
	if g.n == 0 {
		return nil
	}
	kind := stream.Bytes
	if g.packets {
		kind = stream.Partial
	}
	s.o.Ledger.AddIn(g.n)
	_ = s.output.Put(s.abortCtx, stream.Batch{N: g.n}) // counts it as read and held, and waits for nothing
	return []tail{{bytes.Clone(g.part[:g.n]), kind}}
}

// holdTails holds what a publisher has left, and returns how many bytes that is.
func (s *Server) holdTails(tails []tail) (held int64) {
	for _, t := range tails {
		held += int64(len(t.data))
	}
	s.tails = append(s.tails, tails...)
	if extra := len(s.tails) - maxTails; extra > 0 {
		s.putTails(s.tails[:extra], true)
		s.tails = s.tails[extra:]
	}
	return held
}

// settleTails decides about the tails of the publishers before: torn when packets follow.
func (s *Server) settleTails(packetsFollow bool) {
	s.putTails(s.tails, packetsFollow)
	s.tails = nil
}

func (s *Server) putTails(tails []tail, torn bool) {
	var n int
	for _, t := range tails {
		r := stream.NewReader(bytes.NewReader(t.data), stream.ReaderOptions{Format: stream.Raw})
		b, _ := r.Next() // bytes in memory
		b.N = 0          // the account has them
		for i := range b.Chunks {
			b.Chunks[i].Kind = t.kind
			if torn {
				b.Chunks[i].Kind, b.Chunks[i].Discard = stream.Partial, true
				n += len(b.Chunks[i].Data)
			}
		}
		_ = s.output.Put(s.abortCtx, b) // what the end of the server stops is dropped as that
		r.Close()
	}
	if n > 0 {
		s.o.Log.Warn("part of a packet dropped at a splice", "torn", n)
	}
}

// packetsFollow reports whether the first bytes of a publisher are packets.
func packetsFollow(b stream.Batch, g *grid) bool {
	return b.Chunks[0].Kind != stream.Bytes || g.packets && !g.off
}
