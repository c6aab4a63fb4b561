package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// fanoutViewers are how many viewers of one stream are measured.
var fanoutViewers = []int{1, 100, 500}

// fanoutSuite measures one stream that many watch.
func (b *bench) fanoutSuite() error {
	for _, n := range fanoutViewers {
		contestants := []contestant{
			{"vw-push --listen", startListen(n)},
			{"vw-push --listen --gather 40ms", startListen(n, "--gather", "40ms")},
			{"jsmpeg's relay (node)", startRelay(false, n)},
		}
		all, err := b.turns(contestants, func(c contestant) (*sample, error) {
			return b.paced(c, b.rates[0], 1, b.duration(1), "", nil)
		})
		if err != nil {
			return err
		}
		t := table{
			title: fmt.Sprintf("%s of one stream of %.1f Mbit/s", plural(n, "viewer"),
				newPicture(b.rates[0], loop).rate()/1e6),
			note: fmt.Sprintf("%d rounds of %v. vw-push reads the stream from a pipe, jsmpeg's relay takes it by "+
				"POST. CPU in per cent of"+
				" one core. Latency is that of the viewer that connected in the middle.", b.rounds, b.duration(1)),
			head: []string{"", "CPU", "× node", "median", "× node", "99 %", "× node", "memory", "× node"},
		}
		node := all[len(all)-1]
		for i, c := range contestants {
			r := all[i]
			t.row(c.name, r.cpu().text("%.2f %%"), ratio(r.cpu(), node.cpu()), r.latency(0.5).text("%.0f µs"),
				ratio(r.latency(0.5), node.latency(0.5)), r.latency(0.99).text("%.0f µs"),
				ratio(r.latency(0.99), node.latency(0.99)),
				r.memory().text("%.1f MiB"), ratio(r.memory(), node.memory()))
		}
		b.tables = append(b.tables, t)
	}
	return b.besideViewers()
}

// besideViewers measures a destination of a vw-push that also has viewers.
func (b *bench) besideViewers() error {
	t := table{
		title: "A destination beside viewers",
		note: fmt.Sprintf("%d rounds of %v: one stream of %.1f Mbit/s, one destination.", b.rounds, b.duration(1),
			newPicture(b.rates[0], loop).rate()/1e6),
		head: []string{"", "median", "× none", "99 %", "× none"},
	}
	var contestants []contestant
	for _, n := range append([]int{0}, fanoutViewers...) {
		contestants = append(contestants, contestant{plural(n, "viewer"), startBeside(n)})
	}
	all, err := b.turns(contestants, func(c contestant) (*sample, error) {
		return b.paced(c, b.rates[0], 1, b.duration(1), "", nil)
	})
	if err != nil {
		return err
	}
	for i, c := range contestants {
		median, tail := all[i].latency(0.5), all[i].latency(0.99)
		t.row(c.name, median.text("%.0f µs"), ratio(median, all[0].latency(0.5)),
			tail.text("%.0f µs"), ratio(tail, all[0].latency(0.99)))
	}
	b.tables = append(b.tables, t)
	return nil
}

// startBeside starts a vw-push with a destination, which is measured, and n viewers.
func startBeside(n int) func(*bench, string) (*line, error) {
	return func(b *bench, _ string) (*line, error) {
		l, url, err := newPush(nil)
		if err != nil {
			return l, err
		}
		addr, err := b.listen(l, url)
		if err != nil {
			return l, err
		}
		return l, l.crowd(addr, n)
	}
}

// startListen starts a vw-push with n viewers, the middle one of which is measured.
func startListen(n int, flags ...string) func(*bench, string) (*line, error) {
	return func(b *bench, _ string) (*line, error) {
		l := &line{receiver: newReceiver(), byItself: true}
		addr, err := b.listen(l, flags...)
		if err != nil {
			return l, err
		}
		return l, l.watch(addr, n)
	}
}

// listen adds a vw-push to a line that listens for viewers at the address.
func (b *bench) listen(l *line, args ...string) (addr string, err error) {
	port, err := freePort()
	if err != nil {
		return "", err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	l.publisher = &plainPublisher{w}
	addr = "127.0.0.1:" + port
	args = append([]string{"--live", "--quiet", "--listen", addr}, args...)
	return addr, l.add(b.spawn(r, nil, nil, b.tool("vw-push"), args...))
}

// watch connects n viewers. What the middle one gets is checked.
func (l *line) watch(addr string, n int) error {
	before := (n - 1) / 2
	if err := l.crowd(addr, before); err != nil {
		return err
	}
	stop, err := l.receiver.dialWebsocket("ws://" + addr + "/")
	if err != nil {
		return err
	}
	l.stops = append(l.stops, stop)
	return l.crowd(addr, n-1-before)
}

// crowd connects n viewers who throw away what they get.
func (l *line) crowd(addr string, n int) error {
	for range n {
		conn, err := dialWhenReady(addr)
		if err != nil {
			return err
		}
		l.stops = append(l.stops, func() { _ = conn.Close() })
		if err := readAll(conn, addr); err != nil {
			return err
		}
	}
	return nil
}

// readAll makes a viewer of a connection that reads and throws away what comes, at the least cost.
func readAll(conn net.Conn, addr string) error {
	_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+addr+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("a viewer was refused: %s", strings.TrimSpace(resp.Status))
	}
	go func() {
		buf := make([]byte, 32<<10)
		for {
			if _, err := conn.Read(buf); err != nil {
				return
			}
		}
	}()
	return nil
}
