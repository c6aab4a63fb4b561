package stream

import (
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// Delivery is what a consumer takes from a queue. It is written, or sent, as a whole.
type Delivery struct {
	Data []byte
	// Size is how many bytes of Data are the stream's. The others were injected: PAT and PMT, the announcement of a
	// gap.
	Size int
	// Pos is the position in the stream after the delivery, for Confirm.
	Pos        int64
	ReceivedAt time.Time // when it was read
	Kind       Kind
	// RandomAccess, HasPSI, PSI, Counters and Sets are those of the chunk.
	RandomAccess, HasPSI bool
	PSI                  *mpegts.Tables
	Counters             mpegts.Counters
	Sets                 *mpegts.ParameterSets
	// Change is what is new in the stream from this delivery on, also in what was dropped before it.
	Change mpegts.Change
	// Gap says that something was dropped right before the delivery, and Dropped how many bytes.
	Gap     bool
	Dropped int64
	// Redelivered says that the delivery was taken before.
	Redelivered bool

	block *block // that holds Data; nil when Data is the delivery's own
}

// Injected is how many bytes of Data are not the stream's.
func (d *Delivery) Injected() int { return len(d.Data) - d.Size }

// amount is how much of the stream's own it has.
func (d *Delivery) amount() amount { return amountOf(d.Kind, d.Size) }

// Release gives the bytes back. The consumer calls it when it needs them no more.
func (d *Delivery) Release() {
	if d.block != nil {
		d.block.release()
		d.block = nil
	}
}
