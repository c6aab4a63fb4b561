package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// suites are the measurements; allSuites has their names in order.
var (
	suites = map[string]func(*bench) error{
		"paced": (*bench).pacedSuite, "flat": (*bench).flatSuite, "tools": (*bench).toolSuite,
		"record": (*bench).recordSuite,
		"rotate": (*bench).rotateSuite, "tls": (*bench).tlsSuite, "start": (*bench).startSuite,
		"size":   (*bench).sizeSuite,
		"fanout": (*bench).fanoutSuite, "nats": (*bench).natsSuite,
		"memory": (*bench).memorySuite,
		"growth": (*bench).growthSuite, "weak": (*bench).weakSuite,
	}
	allSuites = []string{"paced", "flat", "tools", "record", "rotate", "tls", "start", "size", "fanout", "nats",
		"memory", "growth", "weak"}
)

// turns measures all contestants in turns, for as many rounds as there are, and returns their samples in the order of
// the contestants. Each round has an order of its own, so that none always follows the same.
func (b *bench) turns(contestants []contestant, measure func(contestant) (*sample, error)) ([]results, error) {
	all := make([]results, len(contestants))
	for round := range b.rounds {
		for _, i := range rand.New(rand.NewPCG(uint64(round), 0)).Perm(len(contestants)) {
			s, err := measure(contestants[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", contestants[i].name, err)
			}
			all[i] = append(all[i], s)
		}
	}
	return all, nil
}

// duration is how long to measure n streams: CPU of one stream at a camera's pace needs the whole time.
func (b *bench) duration(n int) time.Duration {
	return max(b.seconds/time.Duration(min(n, 3)), min(b.seconds, 8*time.Second))
}

func (b *bench) pacedSuite() error {
	contestants := []contestant{vwPipeline, vwPush, leastC, leastGo, nodeRelay, socatPair}
	usage := make([]curve, len(contestants))
	for _, rate := range b.rates {
		for _, n := range b.streams {
			all, err := b.turns(contestants, func(c contestant) (*sample, error) {
				return b.paced(c, rate, n, b.duration(n), "", nil)
			})
			if err != nil {
				return err
			}
			t := table{
				title: fmt.Sprintf("%s of %.1f Mbit/s", plural(n, "stream"), newPicture(rate, loop).rate()/1e6),
				note: fmt.Sprintf("%d rounds of %v. CPU in per cent of one core, per stream. Latency from the "+
					"publisher's write to the"+
					" receiver's read, over all frames of all streams.", b.rounds, b.duration(n)),
				head: []string{"", "CPU", "× node", "× socat", "× C", "median", "× socat", "× C", "99 %", "× node",
					"memory", "× node"},
			}
			least, node, socat := all[2], all[4], all[5]
			for i, c := range contestants {
				r := all[i]
				t.row(c.name, r.cpu().text("%.2f %%"), ratio(r.cpu(), node.cpu()), ratio(r.cpu(), socat.cpu()),
					ratio(r.cpu(), least.cpu()),
					r.latency(0.5).text("%.0f µs"), ratio(r.latency(0.5), socat.latency(0.5)),
					ratio(r.latency(0.5), least.latency(0.5)),
					r.latency(0.99).text("%.0f µs"), ratio(r.latency(0.99), node.latency(0.99)),
					r.memory().text("%.1f MiB"), ratio(r.memory(), node.memory()))
				if rate == b.rates[0] {
					usage[i].name = c.name
					usage[i].add(float64(n), r.cpu().median())
				}
			}
			b.tables = append(b.tables, t)
			if rate == b.rates[0] && n == 10 {
				b.curves = append(b.curves, curves{file: "latency.svg", title: "Latency of 10 streams at 1.3 Mbit/s",
					x: "µs, publisher's write to receiver's read", y: "share of the frames", logarithmic: true,
					lines: cumulative(contestants, all)})
			}
		}
	}
	b.curves = append(b.curves, curves{file: "cpu.svg", title: "CPU of one stream at 1.3 Mbit/s", x: "streams at once",
		y: "per cent of a core, per stream", lines: usage})
	return nil
}

func (b *bench) flatSuite() error {
	contestants := []contestant{vwPipeline, vwPush, leastC, leastGo, nodeRelay, socatPair}
	all, err := b.turns(contestants, func(c contestant) (*sample, error) { return b.flatOut(c, b.flat) })
	if err != nil {
		return err
	}
	t := table{
		title: "As fast as it goes",
		note: fmt.Sprintf("%d rounds of %d MiB, to the last byte at the receiver. CPU in per cent of one core.",
			b.rounds, b.flat>>20),
		head: []string{"", "throughput", "× node", "× socat", "× C", "CPU", "memory"},
	}
	least, node, socat := all[2], all[4], all[5]
	for i, c := range contestants {
		r := all[i]
		t.row(c.name, r.throughput().text("%.0f MB/s"), ratio(r.throughput(), node.throughput()),
			ratio(r.throughput(), socat.throughput()), ratio(r.throughput(), least.throughput()),
			r.cpu().text("%.0f %%"), r.memory().text("%.1f MiB"))
	}
	b.tables = append(b.tables, t)
	return nil
}

// againstSuite compares the tools with those of another folder: ten streams at a camera's pace, and flat out.
func (b *bench) againstSuite() error {
	contestants := []contestant{vwPipeline.from(b.against), vwPipeline, vwPush.from(b.against), vwPush}
	const n = 10
	paced, err := b.turns(contestants, func(c contestant) (*sample, error) {
		return b.paced(c, b.rates[0], n, b.duration(n), "", nil)
	})
	if err != nil {
		return err
	}
	flat, err := b.turns(contestants, func(c contestant) (*sample, error) { return b.flatOut(c, b.flat) })
	if err != nil {
		return err
	}
	t := table{
		title: "Before and after",
		note: fmt.Sprintf("%d rounds of %v with %d streams of %.1f Mbit/s, and of %d MiB as fast as it goes. "+
			"Each second line is compared with the one above it.",
			b.rounds, b.duration(n), n, newPicture(b.rates[0], loop).rate()/1e6, b.flat>>20),
		head: []string{"", "CPU", "×", "median", "×", "99 %", "×", "memory", "×", "throughput", "×"},
	}
	for i, c := range contestants {
		p, f, before, flatBefore := paced[i], flat[i], paced[i&^1], flat[i&^1]
		t.row(c.name, p.cpu().text("%.2f %%"), ratio(p.cpu(), before.cpu()), p.latency(0.5).text("%.0f µs"),
			ratio(p.latency(0.5), before.latency(0.5)), p.latency(0.99).text("%.0f µs"),
			ratio(p.latency(0.99), before.latency(0.99)),
			p.memory().text("%.1f MiB"), ratio(p.memory(), before.memory()),
			f.throughput().text("%.0f MB/s"), ratio(f.throughput(), flatBefore.throughput()))
	}
	b.tables = append(b.tables, t)
	return nil
}

func (b *bench) tlsSuite() error {
	contestants := []contestant{vwTLS, nodeTLS}
	const n = 10
	all, err := b.turns(contestants, func(c contestant) (*sample, error) {
		return b.paced(c, b.rates[0], n, b.duration(n), "", nil)
	})
	if err != nil {
		return err
	}
	t := table{
		title: fmt.Sprintf("%d streams of %.1f Mbit/s over TLS", n, newPicture(b.rates[0], loop).rate()/1e6),
		note: "jsmpeg's relay has no TLS, and websocketd is a server only; so this is against the same job, a POST " +
			"to a wss server," +
			" done in node.js with ws (`test/bench/node/post-to-wss.mjs`).",
		head: []string{"", "CPU", "× node", "median", "× node", "99 %", "× node", "memory", "× node"},
	}
	node := all[1]
	for i, c := range contestants {
		r := all[i]
		t.row(c.name, r.cpu().text("%.2f %%"), ratio(r.cpu(), node.cpu()), r.latency(0.5).text("%.0f µs"),
			ratio(r.latency(0.5), node.latency(0.5)), r.latency(0.99).text("%.0f µs"),
			ratio(r.latency(0.99), node.latency(0.99)),
			r.memory().text("%.1f MiB"), ratio(r.memory(), node.memory()))
	}
	b.tables = append(b.tables, t)
	return nil
}
