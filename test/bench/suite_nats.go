package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// natsLine is a line that goes over a server of NATS of its own.
type natsLine struct {
	*line
	b        *bench
	measured []string // whose cost counts; the others are only needed
	common   []string // flags of pub and sub
	live     bool
}

// newNATSLine starts the server. The names of what is to be measured are server, pub, sub and push.
func newNATSLine(b *bench, live bool, measured ...string) (*natsLine, error) {
	n := &natsLine{line: &line{receiver: newReceiver()}, b: b, measured: measured, live: live}
	port, err := freePort()
	if err != nil {
		return n, err
	}
	store, err := os.MkdirTemp(shm, "vw-bench-")
	if err != nil {
		return n, err
	}
	n.stops = append(n.stops, func() { _ = os.RemoveAll(store) })
	n.common = []string{"--server", "nats://127.0.0.1:" + port, "--retain", "CAM"}
	if live {
		n.common = append(n.common, "--live")
	}
	return n, n.start("server", nil, nil, "Server is ready", b.nats, "-a", "127.0.0.1", "-p", port, "-js", "-sd", store)
}

// start starts a program, and waits until it has said that it is ready.
func (n *natsLine) start(name string, stdin, stdout *os.File, ready, program string, args ...string) error {
	p, err := n.b.spawn(stdin, stdout, nil, program, args...)
	if err != nil {
		return err
	}
	if slices.Contains(n.measured, name) {
		n.processes = append(n.processes, p)
	} else {
		n.stops = slices.Insert(n.stops, 0, func() { p.end(false) })
	}
	return p.says(ready)
}

// pub starts vw-nats pub, which the publisher writes to.
func (n *natsLine) pub() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	n.publisher = &plainPublisher{w}
	return n.start("pub", r, nil, "stream created", n.b.tool("vw-nats"),
		slices.Concat([]string{"pub", "--create"}, n.common, []string{"cam"})...)
}

// sub starts vw-nats sub.
func (n *natsLine) sub(stdout *os.File) error {
	args := slices.Concat([]string{"sub"}, n.common, []string{"cam"})
	if !n.live {
		args = slices.Insert(args, 1, "--durable", "bench")
	}
	return n.start("sub", nil, stdout, "msg=connected", n.b.tool("vw-nats"), args...)
}

// untilSubscribed waits until a subscription is in force.
func untilSubscribed() { time.Sleep(200 * time.Millisecond) }

// startNATS starts vw-nats pub and vw-nats sub around a server. Of the three only the measured one counts.
func startNATS(measured string, live bool) func(*bench, string) (*line, error) {
	return func(b *bench, _ string) (*line, error) {
		n, err := newNATSLine(b, live, measured)
		if err == nil {
			err = n.pub()
		}
		if err != nil {
			return n.line, err
		}
		out, in, err := os.Pipe()
		if err != nil {
			return n.line, err
		}
		go func() {
			defer out.Close()
			defer n.receiver.finish()
			_ = n.receiver.drain(out, make([]byte, 256<<10))
		}()
		err = n.sub(in)
		untilSubscribed()
		n.receiver.begin()
		return n.line, err
	}
}

const (
	natsEdges   = 3
	natsViewers = 201
)

// startEdges starts a camera's vw-nats pub, and edges that each have a part of the viewers. The one in the middle of
// the first edge is measured.
func startEdges(b *bench, _ string) (*line, error) {
	n, err := newNATSLine(b, true, "server", "pub", "sub", "push")
	if err == nil {
		err = n.pub()
	}
	for i := range natsEdges {
		if err != nil {
			break
		}
		err = n.edge(i == 0)
	}
	untilSubscribed()
	return n.line, err
}

// edge starts vw-nats sub and a vw-push with viewers.
func (n *natsLine) edge(measured bool) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	addr := "127.0.0.1:" + port
	if err := n.start("push", r, nil, "listening for viewers", n.b.tool("vw-push"), "--live", "--listen",
		addr); err != nil {
		return err
	}
	if err := n.sub(w); err != nil {
		return err
	}
	if measured {
		return n.watch(addr, natsViewers/natsEdges)
	}
	return n.crowd(addr, natsViewers/natsEdges)
}

// says waits until the process has written a text to standard error.
func (p *process) says(text string) error {
	for began := time.Now(); !strings.Contains(p.said(), text); time.Sleep(time.Millisecond) {
		if time.Since(began) > processTimeout {
			return fmt.Errorf("%s does not say %q: %s", p.cmd.Path, text, p.said())
		}
	}
	return nil
}

// natsSuite measures what vw-nats costs at each end beside vw-push, and what edges add to the delay of viewers.
func (b *bench) natsSuite() error {
	if b.nats == "" {
		return errors.New("there is no nats-server")
	}
	contestants := []contestant{
		vwPush,
		{"vw-nats pub --live", startNATS("pub", true)}, {"vw-nats sub --live", startNATS("sub", true)},
		{"vw-nats pub", startNATS("pub", false)}, {"vw-nats sub", startNATS("sub", false)},
	}
	for _, n := range b.streams[:min(2, len(b.streams))] {
		err := b.natsTable(contestants, n, "vw-push", fmt.Sprintf("Over NATS: %s of 1.3 Mbit/s", plural(n, "stream")),
			"CPU in per cent of one core, per stream, of the named tool alone. Latency from the publisher's write "+
				"through pub, one nats-server for each stream, and sub.")
		if err != nil {
			return err
		}
	}
	return b.natsTable([]contestant{
		{"one vw-push --listen", startListen(natsViewers)},
		{fmt.Sprintf("vw-nats, %d edges", natsEdges), startEdges},
	}, 1, "one", fmt.Sprintf("%d viewers of one stream of 1.3 Mbit/s, on one machine and over NATS", natsViewers),
		"CPU in per cent of one core, of all programs: vw-nats pub, one nats-server, and at each edge vw-nats sub and "+
			"vw-push. Latency from the publisher's write to a viewer's read, all on this machine.")
}

// natsTable measures contestants with so many streams, and compares them with the first.
func (b *bench) natsTable(contestants []contestant, streams int, first, title, note string) error {
	all, err := b.turns(contestants, func(c contestant) (*sample, error) {
		return b.paced(c, 1.3, streams, b.duration(streams), "", nil)
	})
	if err != nil {
		return err
	}
	t := table{
		title: title, note: fmt.Sprintf("%d rounds of %v. %s", b.rounds, b.duration(streams), note),
		head: []string{"", "CPU", "× " + first, "median", "× " + first, "99 %", "× " + first, "memory"},
	}
	for i, c := range contestants {
		r, median, tail := all[i], all[i].latency(0.5), all[i].latency(0.99)
		t.row(c.name, r.cpu().text("%.2f %%"), ratio(r.cpu(), all[0].cpu()), median.text("%.0f µs"),
			ratio(median, all[0].latency(0.5)), tail.text("%.0f µs"), ratio(tail, all[0].latency(0.99)),
			r.memory().text("%.1f MiB"))
	}
	b.tables = append(b.tables, t)
	return nil
}
