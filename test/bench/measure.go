package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// bench is one run of all suites.
type bench struct {
	settings
	tls    *tls.Config
	limit  *limit // of the programs that are started; nil: none
	tables []table
	curves []curves
}

var errNotConnected = errors.New("it did not connect")

// sample is what one run of one contestant gave.
type sample struct {
	cpu     float64 // of one core, in per cent, per stream
	memory  int64   // bytes: the peaks of the processes of one stream, added up; the most over the streams
	share   int64   // bytes: what the processes of all streams have, added up without counting a page twice, per stream
	delays  []time.Duration
	arrived []time.Time     // of the first stream's frames
	lag     []time.Duration // of the same frames
	bytes   int64
	took    time.Duration // until everything had arrived
	sent    int           // frames, where some may not arrive
}

// paced runs a contestant at the pace of a camera, with so many streams at once. During the run it calls disturb, if
// that is not nil.
func (b *bench) paced(c contestant, rate float64, streams int, seconds time.Duration, folder string,
	disturb func() error) (*sample, error) {
	lines, err := b.startLines(c, streams, folder)
	defer closeLines(lines)
	if err != nil {
		return nil, err
	}
	s := &sample{}
	// The first second is not measured: connections, first buffers, code that was never used before.
	warm, frames := 25, 25+int(seconds/frameTime)
	p := newPicture(rate, frames)
	begin := time.Now().Add(20 * time.Millisecond)
	errs := make(chan error, streams+1)
	for i, l := range lines {
		go func() { errs <- l.run(p, begin.Add(frameTime*time.Duration(i)/time.Duration(streams))) }()
	}
	waiting := streams
	if disturb != nil {
		waiting++
		go func() {
			time.Sleep(time.Until(begin.Add(time.Duration(warm)*frameTime + seconds/4)))
			errs <- disturb()
		}()
	}
	time.Sleep(time.Until(begin.Add(time.Duration(warm) * frameTime)))
	before, err := lineCPU(lines)
	if err != nil {
		return nil, err
	}
	from := time.Now()
	time.Sleep(time.Until(begin.Add(time.Duration(frames) * frameTime)))
	after, cpuErr := lineCPU(lines)
	took := time.Since(from)
	for range waiting {
		err = errors.Join(err, <-errs)
	}
	if err = errors.Join(err, cpuErr); err != nil {
		return nil, lines[0].complain(err)
	}
	s.cpu = 100 * float64(after-before) / float64(took) / float64(streams)
	for _, l := range lines {
		peaks, err := total(l.processes, (*process).peak)
		if err != nil {
			return nil, l.complain(err)
		}
		shares, err := total(l.processes, (*process).share)
		if err != nil {
			return nil, l.complain(err)
		}
		s.memory = max(s.memory, peaks)
		s.share += shares
		s.delays = append(s.delays, l.receiver.delays[warm:]...)
	}
	s.share /= int64(streams)
	s.arrived, s.lag = lines[0].receiver.arrived[warm:], lines[0].receiver.delays[warm:]
	for _, l := range lines {
		if err := l.publisher.end(l.byItself); err != nil {
			return nil, l.complain(err)
		}
	}
	return s, nil
}

func (b *bench) startLines(c contestant, streams int, folder string) (lines []*line, err error) {
	if folder == "" {
		folder = b.work
	}
	for i := range streams {
		own := filepath.Join(folder, fmt.Sprint("stream-", i))
		if err := os.MkdirAll(own, 0o755); err != nil {
			return lines, err
		}
		l, err := c.start(b, own)
		lines = append(lines, l)
		if err == nil {
			select {
			case <-l.receiver.connected:
			case <-time.After(processTimeout):
				err = errNotConnected
			}
		}
		if err != nil {
			return lines, l.complain(fmt.Errorf("start %s: %w", c.name, err))
		}
	}
	time.Sleep(100 * time.Millisecond) // what starting has set off is not measured
	return lines, nil
}

func closeLines(lines []*line) {
	var ended sync.WaitGroup
	for _, l := range lines {
		ended.Go(l.close)
	}
	ended.Wait()
}

func lineCPU(lines []*line) (sum time.Duration, err error) {
	for _, l := range lines {
		for _, p := range l.processes {
			t, err := p.cpu()
			if err != nil {
				return 0, l.complain(err)
			}
			sum += t
		}
	}
	return sum, nil
}

// run sends frames at a camera's pace from begin on, waits until they have arrived, and compares.
func (l *line) run(p picture, begin time.Time) error {
	var sent int64
	var sum uint32
	for i, frame := range p {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * frameTime)))
		l.receiver.mark(len(frame))
		if err := l.publisher.frame(frame); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		sent += int64(len(frame))
		sum = crc32.Update(sum, castagnoli, frame)
	}
	return l.check(sent, sum)
}

// check waits until all has arrived and compares it with what was sent.
func (l *line) check(sent int64, sum uint32) error {
	if err := l.receiver.await(sent, processTimeout); err != nil {
		return err
	}
	l.receiver.mu.Lock()
	defer l.receiver.mu.Unlock()
	if l.receiver.bytes != sent || l.receiver.sum != sum {
		return errors.New("what arrived is not what was sent")
	}
	return nil
}

// flatOut sends n bytes as fast as the contestant takes them.
func (b *bench) flatOut(c contestant, n int64) (*sample, error) {
	p := newPicture(20, loop)
	lines, err := b.startLines(c, 1, "")
	defer closeLines(lines)
	if err != nil {
		return nil, err
	}
	l := lines[0]
	var all []byte
	for _, frame := range p {
		all = append(all, frame...)
	}
	const piece = 348 * mpegts.PacketSize // just below 64 KiB
	before, err := lineCPU(lines)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	var sent int64
	var sum uint32
	for at := 0; sent < n; {
		if at+piece > len(all) {
			at = 0
		}
		b := all[at : at+piece]
		at += piece
		sum = crc32.Update(sum, castagnoli, b)
		if err := l.publisher.bulk(b); err != nil {
			return nil, l.complain(err)
		}
		sent += piece
	}
	if err := l.check(sent, sum); err != nil {
		return nil, l.complain(err)
	}
	s := &sample{bytes: sent, took: time.Since(began)}
	after, err := lineCPU(lines)
	if err != nil {
		return nil, err
	}
	s.cpu = 100 * float64(after-before) / float64(s.took)
	if s.memory, err = total(l.processes, (*process).peak); err != nil {
		return nil, err
	}
	return s, l.publisher.end(l.byItself)
}
