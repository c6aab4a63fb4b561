package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
)

// growthTime is how long one point of a curve is measured at most.
const growthTime = 6 * time.Second

// growth is what one unit more costs.
type growth struct {
	unit   string
	counts []int // with 10 in it, which the others are compared with
	start  func(n int) func(*bench, string) (*line, error)
	lines  bool // n units are n lines, not one
}

var growths = []growth{
	{"stream", []int{1, 3, 10, 30, 100}, func(int) func(*bench, string) (*line, error) { return startVW(nil) }, true},
	{"viewer", []int{1, 10, 30, 100, 300, 500}, func(n int) func(*bench, string) (*line, error) {
		return startListen(n)
	}, false},
	{"destination", []int{1, 2, 5, 10, 20}, startDestinations, false},
}

// growthSuite measures what a stream, a viewer and a destination cost when there are more of them.
func (b *bench) growthSuite() error {
	for _, g := range growths {
		if err := b.grow(g); err != nil {
			return fmt.Errorf("%ss: %w", g.unit, err)
		}
	}
	return nil
}

func (b *bench) grow(g growth) error {
	contestants := make([]contestant, len(g.counts))
	for i, n := range g.counts {
		contestants[i] = contestant{strconv.Itoa(n), g.start(n)}
	}
	seconds := min(b.seconds, growthTime)
	all, err := b.turns(contestants, func(c contestant) (*sample, error) {
		n, _ := strconv.Atoi(c.name)
		lines := 1
		if g.lines {
			lines = n
		}
		s, err := b.paced(c, b.rates[0], lines, seconds, "", nil)
		if err == nil && !g.lines {
			s.cpu /= float64(n)
			s.share /= int64(n)
		}
		return s, err
	})
	if err != nil {
		return err
	}
	t := table{
		title: fmt.Sprintf("Up to %s", plural(g.counts[len(g.counts)-1], g.unit)),
		note: fmt.Sprintf("%d rounds of %v, of streams of %.1f Mbit/s. CPU in per cent of one core and memory (PSS) "+
			"are those of all tools, divided by the number of %ss.",
			b.rounds, seconds, newPicture(b.rates[0], loop).rate()/1e6, g.unit),
		head: []string{g.unit + "s", "CPU", "× 10", "median", "99 %", "× 10", "memory", "× 10"},
	}
	ten := all[slices.Index(g.counts, 10)]
	points := curve{name: "vw"}
	for i, r := range all {
		t.row(contestants[i].name, r.cpu().text("%.3f %%"), ratio(r.cpu(), ten.cpu()), r.latency(0.5).text("%.0f µs"),
			r.latency(0.99).text("%.0f µs"), ratio(r.latency(0.99), ten.latency(0.99)),
			r.share().text("%.2f MiB"), ratio(r.share(), ten.share()))
		points.add(float64(g.counts[i]), r.cpu().median())
	}
	b.tables = append(b.tables, t)
	b.curves = append(b.curves, curves{file: "growth-" + g.unit + "s.svg", title: "CPU for each " + g.unit,
		x: g.unit + "s", y: "per cent of a core", logarithmic: true, lines: []curve{points}})
	return nil
}

// startDestinations starts a vw-push with n destinations, the middle one of which is measured.
func startDestinations(n int) func(*bench, string) (*line, error) {
	return func(b *bench, _ string) (*line, error) {
		l := &line{byItself: true}
		args := []string{"--quiet"}
		var receivers []*receiver
		for range n {
			r := newReceiver()
			url, stop, err := r.serveWebsocket(nil)
			if err != nil {
				return l, err
			}
			l.stops = append(l.stops, stop)
			receivers, args = append(receivers, r), append(args, url)
		}
		l.receiver = receivers[(n-1)/2]
		r, w, err := os.Pipe()
		if err != nil {
			return l, err
		}
		l.publisher = &plainPublisher{w}
		if err := l.add(b.spawn(r, nil, nil, b.tool("vw-push"), args...)); err != nil {
			return l, err
		}
		for _, r := range receivers {
			select {
			case <-r.connected:
			case <-time.After(processTimeout):
				return l, errNotConnected
			}
		}
		return l, nil
	}
}
