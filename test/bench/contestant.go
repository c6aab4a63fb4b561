package main

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
)

// line is a contestant at work on one stream, from the publisher to the receiver.
type line struct {
	publisher publisher
	receiver  *receiver
	processes []*process
	byItself  bool // the processes end when the stream does
	stops     []func()
}

// contestant starts a line. Recordings go to the folder, if there are any.
type contestant struct {
	name  string
	start func(b *bench, folder string) (*line, error)
}

func (l *line) close() {
	for _, p := range l.processes {
		p.end(l.byItself)
	}
	for _, stop := range l.stops {
		stop()
	}
}

// complain adds what the programs have said to an error.
func (l *line) complain(err error) error {
	for _, p := range l.processes {
		if text := p.said(); text != "" {
			err = fmt.Errorf("%w\n%s: %s", err, filepath.Base(p.cmd.Path), text)
		}
	}
	return err
}

var (
	vwPipeline  = contestant{"vw-ingest | vw-push", startVW(nil)}
	vwLive      = contestant{"vw-ingest --live | vw-push --live", startVW(nil, "--live")}
	vwPush      = contestant{"pipe into vw-push", startPush}
	leastC      = contestant{"the least in C", startLeast([]string{"floor", "ingest"}, []string{"floor", "push"})}
	leastGo     = contestant{"the least in Go", startLeast([]string{"ingest"}, []string{"push"})}
	nodeRelay   = contestant{"jsmpeg's relay (node)", startRelay(false, 1)}
	socatPair   = contestant{"socat | socat", startSocat(nil)}
	vwCat       = contestant{"vw-ingest | cat | vw-push", startVW(onlyCat)}
	vwTee       = contestant{"vw-ingest | tee -p >(vw-record) | vw-push", startVW(teeRecord)}
	vwRecordTee = contestant{"vw-ingest | vw-record --tee | vw-push", startVW(recordTee)}
	vwTeeFile   = contestant{"vw-ingest | tee FILE | vw-push", startVW(teeFile)}
	nodeRecord  = contestant{"jsmpeg's relay, RECORD_STREAM", startRelay(true, 1)}
	socatTee    = contestant{"socat | tee FILE | socat", startSocat(teeFile)}
	vwTLS       = contestant{"vw-ingest | vw-push wss://", startTLS(false)}
	nodeTLS     = contestant{"node: POST to wss:// with ws", startTLS(true)}
)

// middle starts what stands between two pipes, and records to the folder. It takes over in and out.
type middle func(b *bench, l *line, folder string, in, out *os.File) error

func (b *bench) tool(name string) string { return filepath.Join(b.bin, name) }

func (b *bench) recordArgs(folder string, more ...string) []string {
	return append(append([]string{"--live", "--quiet", "--rotate-size", "1MiB"}, more...),
		filepath.Join(folder, "cam-%Y%m%dT%H%M%SZ.ts"))
}

// onlyCat is the least that can stand between: it records nothing.
func onlyCat(b *bench, l *line, _ string, in, out *os.File) error {
	return l.add(b.spawn(in, out, nil, "cat"))
}

func teeRecord(b *bench, l *line, folder string, in, out *os.File) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	if err := l.add(b.spawn(r, nil, nil, b.tool("vw-record"), b.recordArgs(folder)...)); err != nil {
		return err
	}
	return l.add(b.spawn(in, out, []*os.File{w}, "tee", "-p", "/dev/fd/3"))
}

func recordTee(b *bench, l *line, folder string, in, out *os.File) error {
	return l.add(b.spawn(in, out, nil, b.tool("vw-record"), b.recordArgs(folder, "--tee")...))
}

func teeFile(b *bench, l *line, folder string, in, out *os.File) error {
	f, err := os.CreateTemp(folder, "cam-*.ts")
	if err != nil {
		return err
	}
	return l.add(b.spawn(in, out, nil, "tee", f.Name()))
}

func (l *line) add(p *process, err error) error {
	if err == nil {
		l.processes = append(l.processes, p)
	}
	return err
}

// newPush is a line that ends at a websocket server, with TLS if there is a configuration for it, and the server's URL.
func newPush(config *tls.Config) (l *line, url string, err error) {
	l = &line{receiver: newReceiver(), byItself: true}
	url, stop, err := l.receiver.serveWebsocket(config)
	if err == nil {
		l.stops = append(l.stops, stop)
	}
	return l, url, err
}

// between starts the middle, if there is one, and returns the pipe's end to write to and the one to read from.
func (b *bench) between(l *line, m middle, folder string) (r, w *os.File, err error) {
	if r, w, err = os.Pipe(); err != nil || m == nil {
		return r, w, err
	}
	r2, w2, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	return r2, w, m(b, l, folder, r, w2)
}

// startVW starts a pipeline; the flags are for vw-ingest and vw-push.
func startVW(m middle, flags ...string) func(*bench, string) (*line, error) {
	return func(b *bench, folder string) (*line, error) {
		l, url, err := newPush(nil)
		if err != nil {
			return l, err
		}
		r, w, err := b.between(l, m, folder)
		if err != nil {
			return l, err
		}
		args := slices.Concat([]string{"--quiet"}, flags, []string{url})
		if err := l.add(b.spawn(r, nil, nil, b.tool("vw-push"), args...)); err != nil {
			return l, err
		}
		return l, b.ingest(l, w, flags...)
	}
}

// ingest starts a vw-ingest that writes to w, and a publisher for it.
func (b *bench) ingest(l *line, w *os.File, flags ...string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	args := append([]string{"--quiet", "--once", "--listen", "127.0.0.1:" + port}, flags...)
	if err := l.add(b.spawn(nil, w, nil, b.tool("vw-ingest"), args...)); err != nil {
		return err
	}
	l.publisher, err = dialHTTP("127.0.0.1:"+port, "/cam")
	return err
}

func startPush(b *bench, _ string) (*line, error) {
	l, url, err := newPush(nil)
	if err != nil {
		return l, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return l, err
	}
	l.publisher = &plainPublisher{w}
	return l, l.add(b.spawn(r, nil, nil, b.tool("vw-push"), "--quiet", url))
}

// startLeast starts two programs of the folder floor, each with a port as its last argument: where to listen, and what
// to push to.
func startLeast(ingest, push []string) func(*bench, string) (*line, error) {
	return func(b *bench, _ string) (*line, error) {
		l, target, err := newPush(nil)
		if err != nil {
			return l, err
		}
		u, err := url.Parse(target)
		if err != nil {
			return l, err
		}
		r, w, err := os.Pipe()
		if err != nil {
			return l, err
		}
		least := func(stdin, stdout *os.File, command []string, port string) error {
			args := append(slices.Clone(command[1:]), port)
			return l.add(b.spawn(stdin, stdout, nil, filepath.Join(b.floor, command[0]), args...))
		}
		if err := least(r, nil, push, u.Port()); err != nil {
			return l, err
		}
		port, err := freePort()
		if err != nil {
			return l, err
		}
		if err := least(nil, w, ingest, port); err != nil {
			return l, err
		}
		l.publisher, err = dialHTTP("127.0.0.1:"+port, "/cam")
		return l, err
	}
}

// from is a contestant with the tools of another folder.
func (c contestant) from(folder string) contestant {
	return contestant{c.name + ", " + folder, func(b *bench, recordings string) (*line, error) {
		other := *b
		other.bin = folder
		return c.start(&other, recordings)
	}}
}

// startRelay starts jsmpeg's relay with n viewers.
func startRelay(record bool, n int) func(*bench, string) (*line, error) {
	return func(b *bench, folder string) (*line, error) {
		l := &line{receiver: newReceiver()}
		script, err := b.relayScript(record, folder)
		if err != nil {
			return l, err
		}
		in, err := freePort()
		if err != nil {
			return l, err
		}
		out, err := freePort()
		if err != nil {
			return l, err
		}
		if err := l.add(b.spawn(nil, nil, nil, "node", script, "secret", in, out)); err != nil {
			return l, err
		}
		if err := l.watch("127.0.0.1:"+out, n); err != nil {
			return l, err
		}
		l.publisher, err = dialHTTP("127.0.0.1:"+in, "/secret")
		return l, err
	}
}

// socatBlock is what socat reads and writes at once, as much as a pipe takes: with its own 8 KiB it carries a third.
const socatBlock = "65536"

func startSocat(m middle) func(*bench, string) (*line, error) {
	return func(b *bench, folder string) (*line, error) {
		l := &line{receiver: newReceiver(), byItself: true}
		addr, stop, err := l.receiver.servePlain()
		if err != nil {
			return l, err
		}
		l.stops = append(l.stops, stop)
		r, w, err := b.between(l, m, folder)
		if err != nil {
			return l, err
		}
		if err := l.add(b.spawn(r, nil, nil, "socat", "-u", "-b", socatBlock, "STDIN",
			"TCP:"+addr+",nodelay")); err != nil {
			return l, err
		}
		port, err := freePort()
		if err != nil {
			return l, err
		}
		if err := l.add(b.spawn(nil, w, nil, "socat", "-u", "-b", socatBlock, "TCP-LISTEN:"+port+
			",bind=127.0.0.1,reuseaddr", "STDOUT")); err != nil {
			return l, err
		}
		l.publisher, err = dialPlain("127.0.0.1:" + port)
		return l, err
	}
}

// startTLS starts a way from a POST to a wss server.
func startTLS(node bool) func(*bench, string) (*line, error) {
	return func(b *bench, _ string) (*line, error) {
		config, ca, err := b.certificate()
		if err != nil {
			return &line{}, err
		}
		l, url, err := newPush(config)
		if err != nil {
			return l, err
		}
		l.byItself = !node
		if node {
			port, err := freePort()
			if err != nil {
				return l, err
			}
			if err := l.add(b.spawn(nil, nil, nil, "node", filepath.Join(b.node, "post-to-wss.mjs"), port, url,
				ca)); err != nil {
				return l, err
			}
			l.publisher, err = dialHTTP("127.0.0.1:"+port, "/cam")
			return l, err
		}
		r, w, err := os.Pipe()
		if err != nil {
			return l, err
		}
		if err := l.add(b.spawn(r, nil, nil, b.tool("vw-push"), "--quiet", "--ca", ca, url)); err != nil {
			return l, err
		}
		return l, b.ingest(l, w)
	}
}
