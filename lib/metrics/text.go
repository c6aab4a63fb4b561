package metrics

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// ContentType is that of the text.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Metric is a row of the table: a name, "counter" or "gauge", and what it means.
type Metric struct {
	Name, Type, Help string
}

// Text collects samples, each under its metric. It is for one goroutine.
type Text struct {
	labels  string // that every sample has
	order   []*Metric
	samples map[*Metric][]string
}

// NewText returns an empty text. Every sample gets the labels: name, value, name, value …
func NewText(labels ...string) *Text {
	return &Text{labels: join("", labels), samples: map[*Metric][]string{}}
}

// Add adds a sample with labels of its own: name, value, name, value …
func (t *Text) Add(m *Metric, value float64, labels ...string) {
	if _, ok := t.samples[m]; !ok {
		t.order = append(t.order, m)
	}
	all := join(t.labels, labels)
	if all != "" {
		all = "{" + all + "}"
	}
	t.samples[m] = append(t.samples[m], fmt.Sprintf("%s%s %s\n", m.Name, all, number(value)))
}

// number writes whole numbers as such, so that bytes can be compared by eye.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func join(before string, labels []string) string {
	var b strings.Builder
	b.WriteString(before)
	for i := 0; i+1 < len(labels); i += 2 {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(labels[i] + `="` + escapeLabel.Replace(strings.ToValidUTF8(labels[i+1], "\uFFFD")) + `"`)
	}
	return b.String()
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// WriteTo writes the samples, grouped by metric in the order in which each came first.
func (t *Text) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	for _, m := range t.order {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", m.Name, m.Help, m.Name, m.Type)
		for _, s := range t.samples[m] {
			b.WriteString(s)
		}
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}
