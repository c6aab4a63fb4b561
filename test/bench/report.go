package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// results are the samples of one contestant, one a round.
type results []*sample

// figures are one figure of each round.
type figures []float64

func (r results) figures(of func(*sample) float64) figures {
	var f figures
	for _, s := range r {
		f = append(f, of(s))
	}
	return f
}

func (r results) cpu() figures { return r.figures(func(s *sample) float64 { return s.cpu }) }

// memory is in MiB.
func (r results) memory() figures {
	return r.figures(func(s *sample) float64 { return float64(s.memory) / (1 << 20) })
}

// share is in MiB.
func (r results) share() figures {
	return r.figures(func(s *sample) float64 { return float64(s.share) / (1 << 20) })
}

// throughput is in MB a second.
func (r results) throughput() figures {
	return r.figures(func(s *sample) float64 { return float64(s.bytes) / 1e6 / s.took.Seconds() })
}

// latency is a quantile, in µs.
func (r results) latency(q float64) figures {
	return r.figures(func(s *sample) float64 { return quantile(s.delays, q) })
}

func quantile(d []time.Duration, q float64) float64 {
	if len(d) == 0 {
		return math.NaN() // nothing has come
	}
	d = slices.Sorted(slices.Values(d))
	return float64(d[min(int(q*float64(len(d))), len(d)-1)]) / 1e3
}

func (f figures) median() float64 {
	s := slices.Sorted(slices.Values(f))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// text shows the median and, if there was more than one round, the range.
func (f figures) text(format string) string {
	text := fmt.Sprintf(format, f.median())
	if len(f) > 1 {
		number, _, _ := strings.Cut(format, " ")
		text += fmt.Sprintf(" ("+number+"–"+number+")", slices.Min(f), slices.Max(f))
	}
	return text
}

func ratio(f, to figures) string { return fmt.Sprintf("%.2f", f.median()/to.median()) }

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// table is one measurement as it is told.
type table struct {
	title, note string
	head        []string
	rows        [][]string
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) markdown() string {
	var s strings.Builder
	fmt.Fprintf(&s, "## %s\n\n%s\n\n", t.title, t.note)
	line := func(cells []string) {
		for _, c := range cells {
			s.WriteString("| " + strings.ReplaceAll(c, "|", "\\|") + " ")
		}
		s.WriteString("|\n")
	}
	line(t.head)
	fmt.Fprintf(&s, "| --- |%s\n", strings.Repeat(" --: |", len(t.head)-1))
	for _, r := range t.rows {
		line(r)
	}
	return s.String()
}

// report is the page with all tables.
func (b *bench) report() string {
	var s strings.Builder
	fmt.Fprintf(&s, "# Benchmarks\n\nMeasured side by side in one run of `scripts/bench`, %s. Medians of the "+
		"rounds, the range in brackets;"+
		" every ratio is of two medians. What arrives is compared with what was sent in every run.\n\n",
		time.Now().Format("2006-01-02"))
	fmt.Fprintf(&s, "Machine: %s. Versions: %s.\n\n", machine(), b.versions())
	for _, t := range b.tables {
		s.WriteString(t.markdown() + "\n")
	}
	for _, c := range b.curves {
		fmt.Fprintf(&s, "![%s](%s)\n\n", c.title, c.file)
	}
	return strings.TrimRight(s.String(), "\n") + "\n"
}

func machine() string {
	model := runtime.GOARCH
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	kernel, _ := exec.Command("uname", "-sr").Output()
	return fmt.Sprintf("%d processors, %s, %s", runtime.NumCPU(), model, strings.TrimSpace(string(kernel)))
}

func (b *bench) versions() string {
	var all []string
	version := func(name string, args ...string) {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err == nil {
			first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
			all = append(all, first)
		}
	}
	version(b.tool("vw-push"), "--version")
	all = append(all, runtime.Version())
	version("node", "-p", "'node ' + process.version")
	version("sh", "-c", "socat -V | sed -n 's/socat version \\([^ ]*\\).*/socat \\1/p'")
	version("sh", "-c", "ffmpeg -version | cut -d ' ' -f 1-3")
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "nhooyr.io/websocket" {
				all = append(all, d.Path+" "+d.Version)
			}
		}
	}
	return strings.Join(all, ", ")
}
