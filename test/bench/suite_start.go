package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// startSuite measures from the start of the process or processes to the first byte at the receiver.
func (b *bench) startSuite() error {
	contestants := []contestant{vwPipeline, vwPush, nodeRelay, socatPair}
	rounds := b.rounds
	b.rounds = b.starts
	defer func() { b.rounds = rounds }()
	frame := newPicture(b.rates[0], loop)[0]
	all, err := b.turns(contestants, func(c contestant) (*sample, error) {
		began := time.Now()
		l, err := c.start(b, b.work)
		defer l.close()
		if err != nil {
			return nil, l.complain(err)
		}
		if err := l.publisher.frame(frame); err != nil {
			return nil, l.complain(err)
		}
		if err := l.receiver.await(1, processTimeout); err != nil {
			return nil, l.complain(err)
		}
		s := &sample{took: l.receiver.first.Sub(began)}
		return s, l.publisher.end(l.byItself)
	})
	if err != nil {
		return err
	}
	t := table{title: "From the start to the first byte at the receiver",
		note: fmt.Sprintf("%d starts of each. The publisher tries to connect every millisecond, and sends at once.",
			b.starts),
		head: []string{"", "time", "× node"}}
	took := func(r results) figures {
		return r.figures(func(s *sample) float64 { return s.took.Seconds() * 1e3 })
	}
	for i, c := range contestants {
		t.row(c.name, took(all[i]).text("%.1f ms"), ratio(took(all[i]), took(all[2])))
	}
	b.tables = append(b.tables, t)
	return nil
}

// sizeSuite tells what has to be installed.
func (b *bench) sizeSuite() error {
	t := table{title: "Size on the disk", note: "Stripped programs, with all they need but the C library.",
		head: []string{"", "MiB"}}
	add := func(name string, n int64) { t.row(name, fmt.Sprintf("%.1f", float64(n)/(1<<20))) }
	for _, name := range []string{"vw-ingest", "vw-push", "vw-record", "vw-testserver", "vw"} {
		info, err := os.Stat(b.tool(name))
		if err != nil {
			return err
		}
		if name == "vw" {
			name = "vw, which is all four"
		}
		add(name, info.Size())
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return err
	}
	if node, err = filepath.EvalSymlinks(node); err != nil {
		return err
	}
	n, err := treeSize(node)
	if err != nil {
		return err
	}
	modules, err := treeSize(filepath.Join(b.node, "node_modules", "ws"))
	if err != nil {
		return err
	}
	add("node, ws (without the libraries that node may be linked with)", n+modules)
	b.tables = append(b.tables, t)
	return nil
}

func treeSize(root string) (n int64, err error) {
	err = filepath.WalkDir(root, func(_ string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return err
	})
	if err == nil && n == 0 {
		err = errors.New(root + " is empty")
	}
	return n, err
}
