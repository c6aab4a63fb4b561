package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// startNATS starts vw-nats pub and vw-nats sub around a server of NATS. Of the three only the measured one counts.
func startNATS(measured string, live bool) func(*bench, string) (*line, error) {
	return func(b *bench, _ string) (*line, error) {
		l := &line{receiver: newReceiver()}
		port, err := freePort()
		if err != nil {
			return l, err
		}
		start := func(name string, stdin, stdout *os.File, ready, program string, args ...string) error {
			p, err := b.spawn(stdin, stdout, nil, program, args...)
			if err != nil {
				return err
			}
			if name == measured {
				l.processes = append(l.processes, p)
			} else {
				l.stops = append(l.stops, func() { p.end(false) })
			}
			return p.says(ready)
		}
		store, err := os.MkdirTemp(shm, "vw-bench-")
		if err != nil {
			return l, err
		}
		l.stops = append(l.stops, func() { _ = os.RemoveAll(store) })
		if err := start("server", nil, nil, "Server is ready", b.nats, "-a", "127.0.0.1", "-p", port, "-js", "-sd",
			store); err != nil {
			return l, err
		}
		common := []string{"--server", "nats://127.0.0.1:" + port, "--retain", "CAM"}
		pub, sub := []string{"pub", "--create"}, []string{"sub"}
		if live {
			pub, sub = append(pub, "--live"), append(sub, "--live")
		} else {
			sub = append(sub, "--durable", "bench")
		}
		r, w, err := os.Pipe()
		if err != nil {
			return l, err
		}
		l.publisher = &plainPublisher{w}
		if err := start("pub", r, nil, "stream created", b.tool("vw-nats"), append(append(pub, common...),
			"cam")...); err != nil {
			return l, err
		}
		out, in, err := os.Pipe()
		if err != nil {
			return l, err
		}
		go func() {
			defer out.Close()
			defer l.receiver.finish()
			_ = l.receiver.drain(out, make([]byte, 256<<10))
		}()
		err = start("sub", nil, in, "msg=connected", b.tool("vw-nats"), append(append(sub, common...), "cam")...)
		time.Sleep(200 * time.Millisecond) // until its subscription is in force
		l.receiver.begin()
		return l, err
	}
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

// natsSuite measures what vw-nats costs at each end beside vw-push.
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
		all, err := b.turns(contestants, func(c contestant) (*sample, error) {
			return b.paced(c, 1.3, n, b.duration(n), "", nil)
		})
		if err != nil {
			return err
		}
		t := table{
			title: fmt.Sprintf("Over NATS: %s of 1.3 Mbit/s", plural(n, "stream")),
			note: fmt.Sprintf("%d rounds of %v. CPU in per cent of one core, per stream, of the named tool alone. "+
				"Latency from the publisher's write through pub, one nats-server for each stream, and sub.", b.rounds,
				b.duration(n)),
			head: []string{"", "CPU", "× vw-push", "median", "99 %", "memory"},
		}
		for i, c := range contestants {
			r := all[i]
			t.row(c.name, r.cpu().text("%.2f %%"), ratio(r.cpu(), all[0].cpu()), r.latency(0.5).text("%.0f µs"),
				r.latency(0.99).text("%.0f µs"), r.memory().text("%.1f MiB"))
		}
		b.tables = append(b.tables, t)
	}
	return nil
}
