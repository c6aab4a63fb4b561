package testserver

import (
	"math"
	"math/bits"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	cellBits = 7 // of an octave, whose cells are within 1 % of each other
	octaves  = 32 - cellBits + 1
	maxValue = 1<<32 - 1 // as µs 72 minutes, as bytes 4 GiB
)

// histogram counts values as an HDR histogram does. It needs half a KiB for each octave that has values, because each
// connection has several histograms and an idle one must be small; hdrhistogram computes the percentiles. The zero
// value is ready.
type histogram struct {
	counts [octaves]*[1 << cellBits]uint32 // the first octave has the values below 1<<cellBits
}

func (h *histogram) add(value int64) {
	value = max(0, min(value, maxValue))
	octave := max(0, bits.Len64(uint64(value))-cellBits)
	cell := value >> max(0, octave-1) & (1<<cellBits - 1)
	if h.counts[octave] == nil {
		h.counts[octave] = new([1 << cellBits]uint32)
	}
	if n := &h.counts[octave][cell]; *n < math.MaxUint32 {
		*n++
	}
}

// percentiles returns a function that returns the value which so many percent of all do not exceed, 0 if there are
// none. largest is the largest of all.
func (h *histogram) percentiles(largest int64) func(percent float64) int64 {
	const digits = 2
	all := hdrhistogram.New(1, maxValue, digits)
	for octave, counts := range h.counts {
		if counts == nil {
			continue
		}
		for cell, n := range counts {
			value := int64(cell)
			if octave > 0 {
				value = (value | 1<<cellBits) << (octave - 1)
			}
			_ = all.RecordValues(value, int64(n)) // it refuses only what is out of range
		}
	}
	return func(percent float64) int64 { return min(all.ValueAtQuantile(percent), largest) }
}
