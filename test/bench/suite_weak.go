package main

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// lateAfter is how long after it was due a frame counts as late.
	lateAfter = time.Second
	// strainTime is how long a limited contestant is measured at most, and strainRest how long it may take for what is
	// left then.
	strainTime = 6 * time.Second
	strainRest = 2 * time.Second
)

// weakSuite measures contestants that have next to no processor, as on a small board or beside others.
func (b *bench) weakSuite() error {
	err := b.weak("all programs together held to 10 % of a core", []int{1, 5, 10, 20},
		func() (*limit, error) { return partOfCore(10) })
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "bench: SKIPPED: held to 10 % of a core:", err)
		err = nil
	}
	return errors.Join(err, b.weak("all programs on one core", []int{10, 50}, oneCore))
}

func (b *bench) weak(what string, streams []int, limited func() (*limit, error)) error {
	contestants := []contestant{vwLive, vwPipeline, leastC, nodeRelay, socatPair}
	seconds := min(b.seconds, strainTime)
	for _, n := range streams {
		all, err := b.turns(contestants, func(c contestant) (*sample, error) {
			l, err := limited()
			if err != nil {
				return nil, err
			}
			limitedBench := *b
			limitedBench.limit = l
			s, err := limitedBench.strain(c, n, seconds)
			return s, errors.Join(err, l.end())
		})
		if err != nil {
			return err
		}
		t := table{
			title: fmt.Sprintf("%s of %.1f Mbit/s, %s", plural(n, "stream"),
				newPicture(b.rates[0], loop).rate()/1e6, what),
			note: fmt.Sprintf("%d rounds of %v. A frame is late a second after it was due at the publisher, and "+
				"missing if it had not come %v after the last one was due. Latency is that of the frames that came.",
				b.rounds, seconds, strainRest),
			head: []string{"", "CPU", "in time", "late", "missing", "median", "99 %", "memory"},
		}
		for i, c := range contestants {
			r := all[i]
			t.row(c.name, r.cpu().text("%.2f %%"), r.inTime().text("%.1f %%"), r.late().text("%.1f %%"),
				r.missing().text("%.1f %%"), r.latency(0.5).text("%.0f µs"), r.latency(0.99).text("%.0f µs"),
				r.memory().text("%.1f MiB"))
		}
		b.tables = append(b.tables, t)
	}
	return nil
}

// came returns how many of the frames that were sent have come within limit, in per cent.
func (s *sample) came(limit time.Duration) float64 {
	n := 0
	for _, d := range s.delays {
		if d <= limit {
			n++
		}
	}
	return 100 * float64(n) / float64(s.sent)
}

const everything = time.Hour

func (r results) inTime() figures {
	return r.figures(func(s *sample) float64 { return s.came(lateAfter) })
}

func (r results) late() figures {
	return r.figures(func(s *sample) float64 { return s.came(everything) - s.came(lateAfter) })
}

func (r results) missing() figures {
	return r.figures(func(s *sample) float64 { return 100 - s.came(everything) })
}

// strain is paced for a contestant that may be too slow: frames may come late, or never.
func (b *bench) strain(c contestant, streams int, seconds time.Duration) (*sample, error) {
	lines, err := b.startLines(c, streams, "")
	var publishing sync.WaitGroup
	defer func() {
		for _, l := range lines {
			l.byItself = false // nobody waits for what is still on its way
		}
		closeLines(lines)
		publishing.Wait() // a publisher that nobody reads from any more fails
		for _, l := range lines {
			if l.publisher != nil {
				_ = l.publisher.end(false)
			}
		}
	}()
	if err != nil {
		return nil, err
	}
	if err := b.limit.begin(); err != nil {
		return nil, err
	}
	warm, frames := 25, 25+int(seconds/frameTime)
	p := newPicture(b.rates[0], frames)
	begin := time.Now().Add(20 * time.Millisecond)
	due := func(line, frame int) time.Time {
		return begin.Add(frameTime*time.Duration(frame) + frameTime*time.Duration(line)/time.Duration(streams))
	}
	for i, l := range lines {
		l.receiver.watchFrames()
		publishing.Go(func() {
			for k, frame := range p {
				time.Sleep(time.Until(due(i, k)))
				if l.publisher.frame(frame) != nil {
					return // it has ended
				}
			}
		})
	}
	time.Sleep(time.Until(due(0, warm)))
	before, err := lineCPU(lines)
	if err != nil {
		return nil, err
	}
	from := time.Now()
	time.Sleep(time.Until(due(0, frames)))
	after, err := lineCPU(lines)
	if err != nil {
		return nil, err
	}
	s := &sample{cpu: 100 * float64(after-before) / float64(time.Since(from)) / float64(streams)}
	time.Sleep(strainRest)
	for i, l := range lines {
		came := l.receiver.framesSeen()
		for k := warm; k < frames; k++ {
			s.sent++
			if at, ok := came[k]; ok {
				s.delays = append(s.delays, at.Sub(due(i, k)))
			}
		}
		peaks, err := total(l.processes, (*process).peak)
		if err != nil {
			return nil, l.complain(err)
		}
		s.memory = max(s.memory, peaks)
	}
	return s, nil
}
