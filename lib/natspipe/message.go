package natspipe

import (
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

// messages makes the messages of a delivery: one, or more where the server takes only shorter ones.
func (p *Publisher) messages(d stream.Delivery, limit int) ([]outgoing, error) {
	at := position{id: p.id, pos: p.pos, start: d.RandomAccess && p.o.Live}
	var front []byte
	if at.start && d.Kind == stream.Packets {
		front = frontOf(d)
	}
	if limit < mpegts.PacketSize+len(front) {
		return nil, fatalf("the server takes messages of %d bytes at most, which is too short", limit)
	}
	var all []outgoing
	for data := d.Data; len(data) > 0; front = nil {
		n := min(len(data), limit-len(front))
		if n < len(data) && d.Kind == stream.Packets {
			n -= n % mpegts.PacketSize
		}
		m := nats.NewMsg(p.o.Subject)
		m.Data = data[:n]
		if len(front) > 0 {
			m.Data = append(front, data[:n]...)
		}
		at.front = len(front)
		m.Header[positionHeader] = []string{at.String()}
		switch {
		case at.start && p.o.Retain != "":
			m.Header[rollupHeader] = []string{"sub"}
		case !p.o.Live:
			m.Header[jetstream.MsgIDHeader] = []string{p.id + "-" + strconv.FormatInt(at.pos, 10)}
			if p.o.Retain != "" {
				m.Header[jetstream.ExpectedStreamHeader] = []string{p.o.Retain}
			}
		}
		all = append(all, outgoing{msg: m})
		data = data[n:]
		at.pos += int64(n)
		at.start = false
	}
	p.pos = at.pos
	all[len(all)-1].d, all[len(all)-1].last = d, true
	return all, nil
}

// frontOf is what a decoder that begins with d needs in front of it.
func frontOf(d stream.Delivery) []byte {
	var front []byte
	if d.PSI != nil && (!d.HasPSI || d.Sets != nil) {
		front = d.PSI.Append(front, d.Counters)
	}
	if d.Sets != nil {
		front = d.Sets.AppendPES(front, mpegts.Packet(d.Data[stream.KeyframeAt(d.Data):]))
	}
	return front
}

// headerRoom is more than the headers of a message take.
const headerRoom = 512

func payloadLimit(l *link) int { return int(min(l.nc.MaxPayload(), 1<<30)) - headerRoom }
