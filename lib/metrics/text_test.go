package metrics

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

func TestText(t *testing.T) {
	text := NewText("file", `a"b\c`)
	text.Add(InBytes, 1<<40)
	text.Add(Refused, 2, "status", "401")
	text.Add(Publisher, 0)
	text.Add(Refused, 1.5, "status", "4\n\xff")
	var b strings.Builder
	if _, err := text.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	const want = `# HELP vw_in_bytes_total Bytes read.
# TYPE vw_in_bytes_total counter
vw_in_bytes_total{file="a\"b\\c"} 1099511627776
# HELP vw_refused_total Clients that were refused, by the status of the answer; 0: closed without one.
# TYPE vw_refused_total counter
vw_refused_total{file="a\"b\\c",status="401"} 2
vw_refused_total{file="a\"b\\c",status="4\n�"} 1.5
# HELP vw_publisher 1 while there is a publisher.
# TYPE vw_publisher gauge
vw_publisher{file="a\"b\\c"} 0
`
	if b.String() != want {
		t.Errorf("text:\n%s", b.String())
	}
	b.Reset()
	plain := NewText()
	plain.Add(Publisher, 1)
	_, _ = plain.WriteTo(&b)
	if !strings.HasSuffix(b.String(), "\nvw_publisher 1\n") {
		t.Errorf("text:\n%s", b.String())
	}
}

func TestLedger(t *testing.T) {
	ended := time.Unix(1001, 0)
	text := NewText()
	text.AddLedger(stream.Snapshot{
		Tool: "vw-record", Started: time.Unix(1000, 500e6), Ended: &ended, In: stream.In{Bytes: 7, Packets: 1},
		Out: []stream.Counts{
			{To: "a.ts", In: 7, Confirmed: 4, Dropped: stream.Dropped{Torn: 3},
				Packets:  stream.PacketCounts{Confirmed: 5, Dropped: stream.Dropped{Age: 6}},
				Recorded: &stream.Recorded{Segments: 1, Frames: 2}},
			{To: "stdout", In: 7, Held: 7},
		},
	})
	var b strings.Builder
	_, _ = text.WriteTo(&b)
	for _, line := range []string{
		`vw_start_time_seconds{tool="vw-record"} 1000.5`,
		`vw_end_time_seconds{tool="vw-record"} 1001`,
		`vw_in_bytes_total 7`,
		`vw_output_dropped_bytes_total{to="a.ts",reason="torn"} 3`,
		`vw_output_dropped_bytes_total{to="stdout",reason="age"} 0`,
		`vw_output_held_bytes{to="stdout"} 7`,
		`vw_in_packets_total 1`,
		`vw_output_delivered_packets_total{to="a.ts"} 5`,
		`vw_output_dropped_packets_total{to="a.ts",reason="age"} 6`,
		`vw_frames_total{to="a.ts"} 2`,
	} {
		if !strings.Contains(b.String(), "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, b.String())
		}
	}
	if n := strings.Count(b.String(), "# TYPE vw_output_held_bytes "); n != 1 {
		t.Errorf("%d types of one metric", n)
	}
}

// The documentation has every metric, with its type and meaning, in the order of the table.
func TestDocumentation(t *testing.T) {
	var rows strings.Builder
	for _, m := range Table {
		rows.WriteString("| `" + m.Name + "` | " + m.Type + " | " + m.Help + " |\n")
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil || !strings.Contains(string(page), rows.String()) {
		t.Errorf("docs/metrics.md (%v) lacks:\n%s", err, rows.String())
	}
}
