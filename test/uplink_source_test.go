//go:build linux

package test

import (
	"os"
	"slices"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// longSample repeats a sample stream so many times, with timestamps and counters that go on. Tests share the bytes.
func longSample(t testing.TB, name string, times int) []byte {
	t.Helper()
	ffmpeg := tool(t, "ffmpeg") + " -nostdin -v error "
	const out = " -f mpegts -muxdelay 0.001 -"
	command := ffmpeg + "-stream_loop " + itoa(times-1) + " -i " + sample(name) + " -c copy" + out
	if name == "h264.ts" {
		// The audio does not join without a rounding error, which ffmpeg would not decode in silence.
		command += " | " + ffmpeg + "-i - -c copy -bsf:v setts=ts=N*3600 " +
			"-bsf:a 'setts=ts=round(N*1024*90000/44100)'" + out
	}
	return outputOf(t, command)
}

// withoutTables leaves out all PATs and PMTs but the first.
func withoutTables(ts []byte) []byte {
	var out []byte
	var scan mpegts.Scanner
	var seen mpegts.Mark
	for ; len(ts) > 0; ts = ts[mpegts.PacketSize:] {
		mark := scan.Packet(ts[:mpegts.PacketSize]) & (mpegts.PAT | mpegts.PMT)
		if mark != 0 && seen&mark != 0 {
			continue
		}
		seen |= mark
		out = append(out, ts[:mpegts.PacketSize]...)
	}
	return out
}

// camera1300 makes frames of a stream of 1.3 Mbit/s: 25 a second, in groups of 12.
func camera1300(seed uint64) *tsgen.Generator {
	return tsgen.New(tsgen.Options{GOP: 12, KeyPackets: 90, FramePackets: 28, Audio: true, Seed: seed})
}

// feeder writes a stream into a pipe at its own pace, and keeps account of how that went.
type feeder struct {
	t    testing.TB
	pipe *os.File
	done chan struct{}
	stop chan struct{}

	mu      sync.Mutex
	stream  []byte          // what has been written
	marks   []written       // in order
	each    []time.Duration // write
	waited  time.Duration   // for room in the pipe, at most
	backlog time.Duration   // how long a byte has been in the pipe at most when the next ones came
}

// written says when the stream was this long.
type written struct {
	end int
	at  time.Time
}

// newFeeder writes what next appends, every so often, until it appends nothing or stop is called; then it closes the
// pipe.
func newFeeder(t testing.TB, pipe *os.File, every time.Duration, next func(dst []byte) []byte) *feeder {
	f := &feeder{t: t, pipe: pipe, done: make(chan struct{}), stop: make(chan struct{})}
	go f.run(every, next)
	t.Cleanup(func() { f.end() })
	return f
}

func (f *feeder) run(every time.Duration, next func(dst []byte) []byte) {
	defer close(f.done)
	defer f.pipe.Close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		f.mu.Lock()
		from := len(f.stream)
		f.stream = next(f.stream)
		chunk := f.stream[from:]
		f.mu.Unlock()
		if len(chunk) == 0 {
			return
		}
		waiting := unread(f.pipe)
		at := time.Now()
		waited, err := writeAll(f.pipe, chunk)
		took := time.Since(at)
		f.mu.Lock()
		f.each = append(f.each, took)
		f.waited = max(f.waited, waited)
		if waiting > 0 && waiting <= from {
			f.backlog = max(f.backlog, at.Sub(f.whenLocked(from-waiting)))
		}
		f.marks = append(f.marks, written{len(f.stream), at})
		if err != nil {
			f.stream = f.stream[:from]
		}
		f.mu.Unlock()
		if err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-f.stop:
			return
		}
	}
}

// end stops writing, closes the pipe and returns what was written.
func (f *feeder) end() []byte {
	f.mu.Lock()
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	f.mu.Unlock()
	select {
	case <-f.done:
	case <-time.After(testTimeout):
		f.t.Errorf("a write into the pipe did not return")
		f.pipe.Close()
		<-f.done
	}
	return f.stream
}

// when says when the byte at pos was written.
func (f *feeder) when(pos int) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.whenLocked(pos)
}

func (f *feeder) whenLocked(pos int) time.Time {
	i := sort.Search(len(f.marks), func(i int) bool { return f.marks[i].end > pos })
	if i == len(f.marks) {
		return time.Now()
	}
	return f.marks[i].at
}

const (
	// mayWait is what vw-push promises: how long a write may wait for room in the pipe, because vw-push does not read.
	mayWait = 5 * time.Millisecond
	// patientPipe is how long a byte may be in the pipe until vw-push has got its turn on a machine that is busy with
	// the race detector. It is less than what a pipe holds, so a reader that stands still does not pass for a busy
	// machine.
	patientPipe = time.Second
)

// neverWaited checks that, and reports the figures.
func (f *feeder) neverWaited() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.each)
	n := len(f.each)
	f.t.Logf("of %d writes into the pipe the longest took %v, 99%% less than %v, and they waited for room for %v; "+
		"a byte was in it for %v at most",
		n, f.each[n-1], f.each[(n-1)*99/100], f.waited, f.backlog)
	if f.waited > mayWait || f.backlog > patientPipe {
		f.t.Errorf("the input waited: a write for %v, a byte in the pipe for %v", f.waited, f.backlog)
	}
}

// portions gives a stream in portions that fall anywhere, not on packets.
func portions(stream []byte, size int) func([]byte) []byte {
	return func(dst []byte) []byte {
		return append(dst, stream[len(dst):min(len(stream), len(dst)+size)]...)
	}
}
