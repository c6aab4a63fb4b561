package metrics

import (
	"reflect"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

// AddLedger adds the figures of a ledger. Its outputs have the label "to", as in the ledger.
func (t *Text) AddLedger(s stream.Snapshot) {
	t.Add(Started, seconds(s.Started), "tool", s.Tool)
	if s.Ended != nil {
		t.Add(Ended, seconds(*s.Ended), "tool", s.Tool)
	}
	t.Add(InBytes, float64(s.In.Bytes))
	t.Add(InPackets, float64(s.In.Packets))
	for _, c := range s.Out {
		t.addOutput(c)
	}
}

func (t *Text) addOutput(c stream.Counts) {
	for _, f := range []struct {
		metric *Metric
		n      int64
	}{
		{OutIn, c.In}, {OutDelivered, c.Confirmed}, {OutUnconfirmed, c.Unconfirmed}, {OutHeld, c.Held},
		{OutWritten, c.Written}, {OutResent, c.Resent}, {OutInjected, c.Injected}, {OutMessages, c.Messages},
		{OutConnects, c.Connects},
	} {
		t.Add(f.metric, float64(f.n), "to", c.To)
	}
	t.addDropped(OutDropped, c.To, c.Dropped)
	if c.Viewers == nil {
		t.Add(OutDeliveredPackets, float64(c.Packets.Confirmed), "to", c.To)
		t.addDropped(OutDroppedPackets, c.To, c.Packets.Dropped)
	}
	if c.Recorded != nil {
		t.Add(OutSegments, float64(c.Segments), "to", c.To)
		t.Add(OutUncarried, float64(c.Uncarried), "to", c.To)
		t.Add(Frames, float64(c.Frames), "to", c.To)
		t.Add(Keyframes, float64(c.Keyframes), "to", c.To)
	}
}

// addDropped adds what was dropped by reason. The reasons are the ledger's own keys, whichever there are.
func (t *Text) addDropped(m *Metric, to string, d stream.Dropped) {
	reasons := reflect.ValueOf(d)
	for i := range reasons.NumField() {
		t.Add(m, float64(reasons.Field(i).Int()), "to", to, "reason", reasons.Type().Field(i).Tag.Get("json"))
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
