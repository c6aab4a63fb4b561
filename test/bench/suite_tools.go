package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// feed writes n bytes of the picture to w as fast as they are taken, and closes it.
func feed(w io.WriteCloser, p picture, n int64) error {
	var all []byte
	for _, frame := range p {
		all = append(all, frame...)
	}
	const piece = 348 * mpegts.PacketSize
	for at := 0; n > 0; at, n = at+piece, n-piece {
		if at+piece > len(all) {
			at = 0
		}
		if _, err := w.Write(all[at : at+piece]); err != nil {
			_ = w.Close()
			return err
		}
	}
	return w.Close()
}

// shm is a folder in memory.
const shm = "/dev/shm"

// program is one that reads a stream from its standard input to the end.
type program struct {
	name string
	args func(b *bench, folder string) []string
}

// swallow measures a program that reads the stream from a pipe; its files go to a folder in memory.
func (b *bench) swallow(p program, n int64) (*sample, error) {
	folder, err := os.MkdirTemp(shm, "vw-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, err := os.Create(filepath.Join(folder, "out"))
	if err != nil {
		return nil, err
	}
	args := p.args(b, folder)
	began := time.Now()
	proc, err := b.spawn(r, out, nil, args[0], args[1:]...)
	if err != nil {
		_ = w.Close()
		return nil, err
	}
	err = feed(w, newPicture(20, loop), n)
	select {
	case <-proc.done:
	case <-time.After(processTimeout):
		err = errors.Join(err, errors.New("it did not end"))
	}
	took := time.Since(began)
	state := proc.cmd.ProcessState
	if err == nil && !state.Success() {
		err = errors.New(state.String())
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, proc.said())
		proc.end(false)
		return nil, err
	}
	s := &sample{bytes: n, took: took, cpu: 100 * float64(state.UserTime()+state.SystemTime()) / float64(took)}
	proc.end(false)
	return s, nil
}

// race measures programs in turns.
func (b *bench) race(programs []program, n int64) ([]results, error) {
	contestants := make([]contestant, len(programs))
	byName := map[string]program{}
	for i, p := range programs {
		contestants[i].name, byName[p.name] = p.name, p
	}
	return b.turns(contestants, func(c contestant) (*sample, error) { return b.swallow(byName[c.name], n) })
}

// cost is CPU seconds for each GB.
func (r results) cost() figures {
	return r.figures(func(s *sample) float64 { return s.cpu / 100 * s.took.Seconds() / (float64(s.bytes) / 1e9) })
}

// toolSuite measures the pipe tools alone.
func (b *bench) toolSuite() error {
	n := b.flat / 2
	all, err := b.race([]program{
		{"vw-record FILE", func(b *bench, f string) []string {
			return []string{b.tool("vw-record"), "--quiet", filepath.Join(f, "cam.ts")}
		}},
		{"cat >FILE", func(*bench, string) []string { return []string{"cat"} }},
	}, n)
	if err != nil {
		return err
	}
	t := table{title: "One tool alone, as fast as it goes",
		note: fmt.Sprintf("%d rounds of %d MiB. The first two from a pipe to a file in memory, where vw-record "+
			"counts packets and frames"+
			" and syncs. The others from a file in memory to a server.", b.rounds, n>>20),
		head: []string{"", "throughput", "× the other", "CPU for each GB"}}
	t.row("vw-record FILE", all[0].throughput().text("%.0f MB/s"), ratio(all[0].throughput(), all[1].throughput()),
		all[0].cost().text("%.2f s"))
	t.row("cat >FILE", all[1].throughput().text("%.0f MB/s"), "1.00", all[1].cost().text("%.2f s"))

	file, err := os.CreateTemp(shm, "vw-bench-*.ts")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := feed(file, newPicture(20, loop), n); err != nil {
		return err
	}
	info, err := os.Stat(file.Name())
	if err != nil {
		return err
	}
	senders := []contestant{{name: "vw-push URL <FILE"}, {name: "socat <FILE TCP:"}}
	sent, err := b.turns(senders, func(c contestant) (*sample, error) {
		return b.fromFile(file.Name(), info.Size(), c.name == senders[0].name)
	})
	if err != nil {
		return err
	}
	t.row(senders[0].name, sent[0].throughput().text("%.0f MB/s"), ratio(sent[0].throughput(), sent[1].throughput()),
		sent[0].cost().text("%.2f s"))
	t.row(senders[1].name, sent[1].throughput().text("%.0f MB/s"), "1.00", sent[1].cost().text("%.2f s"))
	b.tables = append(b.tables, t)
	return nil
}

// fromFile measures how fast a file gets to a server.
func (b *bench) fromFile(name string, n int64, push bool) (*sample, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	r := newReceiver()
	var addr string
	var stop func()
	var args []string
	if push {
		addr, stop, err = r.serveWebsocket(nil)
		args = []string{b.tool("vw-push"), "--quiet", addr}
	} else {
		addr, stop, err = r.servePlain()
		args = []string{"socat", "-u", "-b", socatBlock, "STDIN", "TCP:" + addr}
	}
	if err != nil {
		return nil, err
	}
	defer stop()
	began := time.Now()
	proc, err := b.spawn(in, nil, nil, args[0], args[1:]...)
	if err != nil {
		return nil, err
	}
	defer proc.end(true)
	if err := r.await(n, processTimeout); err != nil {
		return nil, fmt.Errorf("%w: %s", err, proc.said())
	}
	took := time.Since(began)
	<-proc.done
	state := proc.cmd.ProcessState
	return &sample{bytes: n, took: took, cpu: 100 * float64(state.UserTime()+state.SystemTime()) / float64(took)}, nil
}

// rotateSuite measures what it costs to record in files of 16 MiB.
func (b *bench) rotateSuite() error {
	n := min(b.flat, 256<<20) / 2 // ffmpeg 5.1 has crashed on more, whose timestamps begin again and again
	programs := []program{
		{"vw-record --rotate-size 16MiB", func(b *bench, f string) []string {
			return []string{b.tool("vw-record"), "--quiet", "--rotate-size", "16MiB",
				filepath.Join(f, "cam-%Y%m%dT%H%M%SZ.ts")}
		}},
		{"ffmpeg -c copy -f segment", func(_ *bench, f string) []string {
			return []string{"ffmpeg", "-nostdin", "-v", "error", "-f", "mpegts", "-i", "pipe:0", "-c", "copy", "-f",
				"segment",
				"-segment_time", "6", "-segment_format", "mpegts", filepath.Join(f, "cam-%d.ts")}
		}},
		{"rotatelogs", func(_ *bench, f string) []string {
			return []string{"rotatelogs", filepath.Join(f, "cam.%s.ts"), "16M"}
		}},
	}
	all, err := b.race(programs, n)
	if err != nil {
		return err
	}
	t := table{title: "Recording in files of 16 MiB",
		note: fmt.Sprintf("%d rounds of %d MiB from a pipe to memory, as fast as it goes. ffmpeg cuts at keyframes "+
			"too; rotatelogs cuts anywhere,"+
			" and looks at the bytes as little as cat does.", b.rounds, n>>20),
		head: []string{"", "throughput", "CPU for each GB", "× ffmpeg"}}
	for i, p := range programs {
		t.row(p.name, all[i].throughput().text("%.0f MB/s"), all[i].cost().text("%.2f s"),
			ratio(all[i].cost(), all[1].cost()))
	}
	b.tables = append(b.tables, t)
	return nil
}
