package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// frozen is how long the disk stands still.
const frozen = 5 * time.Second

// disk is an ext4 file system of its own, in a file, which can be frozen. It takes root.
type disk struct{ image, folder string }

func newDisk(work string) (*disk, error) {
	d := &disk{filepath.Join(work, "disk.img"), filepath.Join(work, "disk")}
	if err := os.Mkdir(d.folder, 0o755); err != nil {
		return nil, err
	}
	for _, command := range [][]string{
		{"truncate", "-s", "512M", d.image},
		{"mkfs.ext4", "-q", "-F", d.image},
		{"mount", "-o", "loop", d.image, d.folder},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", command[0], err, out)
		}
	}
	return d, nil
}

func (d *disk) freeze() error {
	if err := exec.Command("fsfreeze", "-f", d.folder).Run(); err != nil {
		return fmt.Errorf("fsfreeze: %w", err)
	}
	time.Sleep(frozen)
	return exec.Command("fsfreeze", "-u", d.folder).Run()
}

func (d *disk) close() error { return exec.Command("umount", d.folder).Run() }

func (b *bench) recordSuite() error {
	contestants := []contestant{vwPipeline, vwCat, vwTee, vwRecordTee, vwTeeFile, nodeRecord, socatTee}
	const n = 5
	seconds := max(b.duration(n), 2*frozen)
	rounds := b.rounds
	var d *disk
	if os.Getuid() == 0 {
		var err error
		if d, err = newDisk(b.work); err != nil {
			return err
		}
		defer func() { _ = d.close() }()
	}
	for _, freezing := range []bool{false, true} {
		title, folder, disturb := "with recording", "", (func() error)(nil)
		if freezing {
			if d == nil {
				fmt.Fprintln(os.Stderr, "bench: not root: recording on a frozen disk is SKIPPED")
				break
			}
			title, folder, disturb = fmt.Sprintf("while the recorder's disk is frozen for %v", frozen), d.folder,
				d.freeze
			b.rounds = 1 + rounds/2
		}
		all, err := b.turns(contestants, func(c contestant) (*sample, error) {
			return b.paced(c, b.rates[0], n, seconds, folder, disturb)
		})
		b.rounds = rounds
		if err != nil {
			return err
		}
		t := table{
			title: fmt.Sprintf("%s of %.1f Mbit/s, %s", plural(n, "stream"),
				newPicture(b.rates[0], loop).rate()/1e6, title),
			note: fmt.Sprintf("%d rounds of %v. The first two lines record nothing: what stands between costs as "+
				"much as `cat` does at the"+
				" least. `vw-record` begins a new file every 1 MiB.", len(all[0]), seconds),
			head: []string{"", "CPU", "median", "× without", "99 %", "× without", "longest", "memory"},
		}
		without := all[0]
		for i, c := range contestants {
			r := all[i]
			t.row(c.name, r.cpu().text("%.2f %%"), r.latency(0.5).text("%.0f µs"),
				ratio(r.latency(0.5), without.latency(0.5)),
				r.latency(0.99).text("%.0f µs"), ratio(r.latency(0.99), without.latency(0.99)),
				fmt.Sprintf("%.0f ms", r.latency(1).median()/1e3), r.memory().text("%.1f MiB"))
		}
		b.tables = append(b.tables, t)
		ours, theirs := contestants[:4], all[:4]
		if freezing {
			b.curves = append(b.curves, curves{file: "frozen.svg",
				title: "Latency of each frame; the disk is frozen from 2.5 s to 7.5 s",
				x:     "s", y: "latency in ms", lines: overTime(contestants[2:5], all[2:5])})
		} else {
			b.curves = append(b.curves, curves{file: "recording.svg", title: "Latency with and without recording",
				x: "µs, publisher's write to receiver's read", y: "share of the frames", logarithmic: true,
				lines: cumulative(ours, theirs)})
		}
	}
	return nil
}

// overTime makes a curve of the latencies of the first stream of the first round, in the order of the frames.
func overTime(contestants []contestant, all []results) []curve {
	lines := make([]curve, len(contestants))
	for i, c := range contestants {
		lines[i].name = c.name
		s := all[i][0]
		for k, lag := range s.lag {
			lines[i].add(s.arrived[k].Add(-lag).Sub(s.arrived[0].Add(-s.lag[0])).Seconds(), lag.Seconds()*1e3)
		}
	}
	return lines
}
