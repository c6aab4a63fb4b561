package vwpush

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/push"
)

// statsLine shows the rate of the input since the last line, and for each destination the rate at which it has
// confirmed, what waits (the buffer) and for how long it has, what was dropped, and the round trip.
func statsLine(p *cli.Pipe, pusher *push.Pusher) func() []slog.Attr {
	last, lastIn := time.Now(), int64(0)
	type nth struct {
		to string
		n  int // of those that look the same without their secrets
	}
	confirmed := map[nth]int64{}
	return func() []slog.Attr {
		now, in := time.Now(), p.Ledger.Snapshot(false).In.Bytes
		rate := func(bytes int64) string {
			return fmt.Sprintf("%.2fMbit/s", float64(bytes)*8/1e6/now.Sub(last).Seconds())
		}
		attrs := []slog.Attr{slog.Int64("in", in), slog.String("in_rate", rate(in-lastIn))}
		same := map[string]int{}
		for _, s := range pusher.Stats() {
			d := nth{s.To, same[s.To]}
			same[s.To]++
			attrs = append(attrs, slog.Group(s.To,
				"connected", s.Connected, "rate", rate(max(0, s.Counts.Confirmed-confirmed[d])),
				"confirmed", s.Counts.Confirmed, "unconfirmed", s.Counts.Unconfirmed, "held", s.Counts.Held,
				"age", s.Age.Round(time.Millisecond), "dropped", s.Counts.Dropped.Sum(),
				"round_trip", s.RoundTrip.Round(10*time.Microsecond)))
			confirmed[d] = s.Counts.Confirmed
		}
		last, lastIn = now, in
		return attrs
	}
}
