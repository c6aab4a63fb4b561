package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/stream"
)

// TestSlowSync: the next file is written while the last one is synced.
func TestSlowSync(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5}, 30)
	tr := newTrial(t, sized{bytes.NewReader(b), 1000}, Limits{RotateFrames: 5})
	d := &faultyDisk{block: make(chan struct{})}
	tr.disk = d
	tr.open()
	result := make(chan error)
	go func() { result <- tr.run() }()
	testwait.Eventually(t, "everything is written", func() bool { return tr.counts().Written == int64(len(b)) })
	if c := tr.counts(); c.Confirmed != 0 || c.Unconfirmed != int64(len(b)) {
		t.Errorf("%+v", c)
	}
	close(d.block)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if c := tr.counts(); c.Confirmed != int64(len(b)) {
		t.Errorf("%+v", c)
	}
}

// TestSmallDeliveriesAreBatched: small deliveries are written in few writes, and wait only for a moment.
func TestSmallDeliveriesAreBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, feed := io.Pipe()
		tr := newTrial(t, in, Limits{})
		d := &faultyDisk{op: "write", first: 1 << 30}
		tr.disk = d
		tr.open()
		result := make(chan error)
		go func() { result <- tr.run() }()
		const frames = 60
		g := tsgen.New(tsgen.Options{GOP: 12})
		fed := 0
		for range frames {
			b := g.Frame(nil)
			fed += len(b)
			if _, err := feed.Write(b); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		testwait.Eventually(t, "everything is written", func() bool { return tr.counts().Written == int64(fed) })
		d.mu.Lock()
		writes := d.calls
		d.mu.Unlock()
		if writes > frames/2 {
			t.Errorf("%d frames in %d writes", frames, writes)
		}
		_ = feed.Close()
		if err := <-result; err != nil {
			t.Fatal(err)
		}
	})
}

// TestHungDisk: a hanging disk does not keep the tool from ending; the next start recovers the file.
func TestHungDisk(t *testing.T) {
	t.Parallel()
	b := sample(t, "h264.ts")
	var tr *trial
	in := bytes.NewReader(b)
	tr = newTrial(t, readerFunc(func(p []byte) (int, error) {
		if in.Len() == 0 { // there must be something to finish
			testwait.Eventually(t, "something is written", func() bool { return tr.counts().Written > 0 })
		}
		return in.Read(p)
	}), Limits{})
	d := &faultyDisk{block: make(chan struct{})}
	tr.disk, tr.config.Live, tr.config.Linger = d, true, time.Millisecond
	if err := tr.run(); err == nil || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("error %v", err)
	}
	if c := tr.counts(); c.Dropped.Sum() != int64(len(b)) {
		t.Errorf("%+v", c)
	}
	close(d.block)
	<-tr.rec.writer.finalizer.done
}

// TestHungStart: with live, input is read while the disk hangs at start. What fits the buffer is recorded when it
// answers. A disk that turns out to be unusable is an error.
func TestHungStart(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5}, 500)
	for _, fails := range []bool{false, true} {
		in, feed := io.Pipe()
		tr := newTrial(t, in, Limits{RotateFrames: 50})
		d := &faultyDisk{hang: make(chan struct{})}
		if fails {
			d.op, d.first, d.last, d.err = "create", 1, 1<<30, syscall.EROFS
		}
		out := newMemory()
		tr.disk, tr.config.Live, tr.config.Out = d, true, out
		tr.open()
		result := make(chan error)
		go func() { result <- tr.run() }()
		if _, err := feed.Write(b); err != nil {
			t.Fatal(err)
		}
		testwait.Eventually(t, "everything is copied", func() bool { return len(out.Bytes()) == len(b) })
		close(d.hang)
		if fails {
			if err := <-result; !errors.Is(err, syscall.EROFS) || tr.counts().Dropped.Exit != int64(len(b)) {
				t.Errorf("%v, %+v", err, tr.counts())
			}
			_ = feed.Close()
			continue
		}
		_ = feed.Close()
		if err := <-result; err != nil || !bytes.Equal(joined(tr.files()), b) {
			t.Errorf("%v, %+v", err, tr.counts())
		}
	}
	tr := newTrial(t, bytes.NewReader(b), Limits{})
	d := &faultyDisk{hang: make(chan struct{})}
	tr.disk, tr.config.Live, tr.config.Linger = d, true, time.Millisecond
	if err := tr.run(); err == nil || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("error %v", err)
	}
	close(d.hang)
}

// TestLiveNeverWaits: with live and a hanging disk the input is read to its end, and whole groups are dropped.
func TestLiveNeverWaits(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 4, FramePackets: 3, Audio: true, Interleave: true}, 3000)
	tr := newTrial(t, sized{bytes.NewReader(b), 1500}, Limits{RotateFrames: 5})
	d := &faultyDisk{block: make(chan struct{})}
	tr.disk, tr.config.Live, tr.config.Buffer = d, true, 100<<10
	out := newMemory()
	tr.config.Out, tr.config.Buffer = out, 200<<10
	tr.open()
	result := make(chan error)
	go func() { result <- tr.run() }()
	<-tr.config.In.(*testInput).closed
	testwait.Eventually(t, "nothing is held for the copy",
		func() bool { return tr.config.Ledger.Snapshot(false).Out[1].Held == 0 })
	close(d.block)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	c := tr.counts()
	var recorded, dropped, gaps int64
	for _, f := range tr.files() {
		recorded, dropped, gaps = recorded+f.Bytes-f.Injected, dropped+f.Dropped, gaps+f.Gaps
		if !f.StartsAtKeyframe {
			t.Errorf("%+v", f.Entry)
		}
	}
	if c.Dropped.Full == 0 || recorded != c.Confirmed || dropped > c.Dropped.Sum() || dropped < c.Dropped.Full ||
		gaps == 0 {
		t.Errorf("recorded %d, dropped %d in %d gaps, %+v", recorded, dropped, gaps, c)
	}
	if s := tr.config.Ledger.Snapshot(false); s.Out[1].Dropped.Sum() == 0 && !bytes.Equal(out.Bytes(), b) {
		t.Error("the copy is not the stream")
	}
}

// TestHangup: the next keyframe begins a new file, once.
func TestHangup(t *testing.T) {
	g := tsgen.New(tsgen.Options{GOP: 5})
	in, feed := io.Pipe()
	tr := newTrial(t, in, Limits{})
	tr.config.Format = stream.TS
	tr.open()
	result := make(chan error)
	go func() { result <- tr.run() }()
	write := func(frames int) {
		for range frames {
			if _, err := feed.Write(g.Frame(nil)); err != nil {
				t.Error(err)
			}
		}
	}
	frames := func(n int64) {
		testwait.Eventually(t, "the packets are written", func() bool {
			return tr.counts().Written >= n*mpegts.PacketSize
		})
	}
	write(7)
	frames(7 + 4)
	tr.rec.Hangup()
	write(13)
	frames(20 + 8)
	tr.rec.Hangup()
	tr.rec.Hangup()
	write(3)
	if err := feed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range tr.files() {
		got = append(got, fmt.Sprint(f.Frames, f.Reason))
	}
	if want := "[10hangup 10hangup 3end]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// TestSignal: after the first signal the input is read to its end, but for at most Linger; what is held is written.
func TestSignal(t *testing.T) {
	for _, endless := range []bool{false, true} {
		in, feed := io.Pipe()
		tr := newTrial(t, in, Limits{})
		tr.config.Format = stream.TS
		if endless {
			tr.config.Linger = time.Second
		}
		tr.open()
		soft, cancel := context.WithCancel(context.Background())
		result := make(chan error)
		go func() { result <- tr.runUntil(soft, context.Background()) }()
		b := tsgen.Frames(tsgen.Options{GOP: 5}, 20)
		half := len(b) / 2 / mpegts.PacketSize * mpegts.PacketSize
		if _, err := feed.Write(b[:half]); err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := feed.Write(b[half:]); err != nil {
			t.Fatal(err)
		}
		if !endless {
			if err := feed.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		if files := tr.files(); reasons(files) != "signal" || !bytes.Equal(joined(files), b) {
			t.Errorf("endless %v: %s", endless, reasons(files))
		}
	}
}

// TestSecondSignal: the second signal ends the recording at once, and the file is finished all the same.
func TestSecondSignal(t *testing.T) {
	in, feed := io.Pipe()
	tr := newTrial(t, in, Limits{})
	tr.config.Format = stream.TS
	tr.open()
	hard, cancel := context.WithCancelCause(context.Background())
	result := make(chan error)
	go func() { result <- tr.runUntil(hard, hard) }()
	b := tsgen.Frames(tsgen.Options{GOP: 5}, 20)
	if _, err := feed.Write(b); err != nil {
		t.Fatal(err)
	}
	testwait.Eventually(t, "everything is written", func() bool { return tr.counts().Written == int64(len(b)) })
	twice := errors.New("told twice")
	cancel(twice)
	if err := <-result; !errors.Is(err, twice) {
		t.Errorf("error %v", err)
	}
	if files := tr.files(); !bytes.Equal(joined(files), b) {
		t.Error("the file is not whole")
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// logTo returns a logger that writes warnings to w.
func logTo(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// brokenPipe is an output whose reader goes away.
type brokenPipe struct {
	*memory
	after int
}

func (p *brokenPipe) Write(b []byte) (int, error) {
	if p.data.Len() > p.after {
		return 0, syscall.EPIPE
	}
	return p.memory.Write(b)
}

// TestOutputGone: the recording goes on, logs one line, and returns ErrOutputGone.
func TestOutputGone(t *testing.T) {
	b := sample(t, "mpeg1.ts")
	for _, idle := range []bool{false, true} {
		var log syncBuffer
		out := newMemory()
		half := bytes.NewReader(b[:188000])
		told := false
		in := readerFunc(func(p []byte) (int, error) {
			if idle && half.Len() == 0 && !told {
				told = true
				testwait.Eventually(t, "the first half is copied", func() bool { return len(out.Bytes()) == 188000 })
				close(out.gone)
				testwait.Eventually(t, "the log says something", func() bool { return log.String() != "" })
			}
			return half.Read(p)
		})
		tr := newTrial(t, sized{io.MultiReader(in, bytes.NewReader(b[188000:])), 5000}, Limits{RotateFrames: 30})
		tr.config.Log = logTo(&log)
		tr.config.Out = out
		if !idle {
			tr.config.Out = &brokenPipe{out, 100000}
		}
		if err := tr.run(); err != ErrOutputGone {
			t.Errorf("error %v", err)
		}
		if !bytes.Equal(joined(tr.files()), b) {
			t.Error("the recording is not whole")
		}
		s := tr.config.Ledger.Snapshot(false).Out[1]
		if s.To != "stdout" || s.Confirmed != int64(out.data.Len()) || s.Dropped.Exit == 0 {
			t.Errorf("%+v", s)
		}
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("log: %s", log.String())
		}
	}
}

// TestEndWithReader: when the reader of the copy has gone, the recording ends while its input goes on, and is whole.
func TestEndWithReader(t *testing.T) {
	b := sample(t, "mpeg1.ts")
	out := newMemory()
	r, w := io.Pipe()
	defer w.Close()
	tr := newTrial(t, r, Limits{RotateFrames: 30})
	tr.config.Out, tr.config.EndWithReader = out, true
	go func() {
		_, _ = w.Write(b)
		testwait.Eventually(t, "the stream is copied", func() bool { return len(out.Bytes()) == len(b) })
		close(out.gone)
	}()
	if err := tr.run(); err != ErrOutputGone {
		t.Errorf("error %v", err)
	}
	if !bytes.Equal(joined(tr.files()), b) {
		t.Error("the recording is not whole")
	}
}

// TestReadError: what was read before the error is recorded.
func TestReadError(t *testing.T) {
	b := sample(t, "intra.ts")
	broken := errors.New("broken")
	tr := newTrial(t, io.MultiReader(bytes.NewReader(b), readerFunc(func([]byte) (int, error) { return 0, broken })),
		Limits{})
	if err := tr.run(); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if !bytes.Equal(joined(tr.files()), b) {
		t.Error("the recording is not whole")
	}
}

// TestAlign: files end at multiples of the wall clock.
func TestAlign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = 200 * time.Millisecond
		g := tsgen.New(tsgen.Options{GOP: 1})
		n := 0
		tr := newTrial(t, readerFunc(func(p []byte) (int, error) {
			if n++; n > 100 {
				return 0, io.EOF
			}
			time.Sleep(10 * time.Millisecond)
			return copy(p, g.Frame(nil)), nil
		}), Limits{RotateTime: every, Align: true})
		tr.config.Format = stream.TS
		if err := tr.run(); err != nil {
			t.Fatal(err)
		}
		files := tr.files()
		if len(files) < 5 {
			t.Errorf("%d files", len(files))
		}
		for i, f := range files {
			// However busy the machine is, no file has data from both sides of a multiple, within the slack.
			slack := every / 20
			end := f.End.Add(-time.Second / mpegts.ClockRate) // the limit is rounded up to a unit of the stream's clock
			if first, last := f.Start.Add(slack).Truncate(every), end.Truncate(every); first.Before(last) {
				t.Errorf("file %d is from %v to %v", i, f.Start, f.End)
			}
		}
	})
}

// TestManifestLine checks the names and the order of the fields, which are a contract.
func TestManifestLine(t *testing.T) {
	tr := newTrial(t, bytes.NewReader(sample(t, "mpeg1.ts")), Limits{})
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	line, err := os.ReadFile(tr.config.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, field := range []string{"file", "start", "end", "pts_start", "pts_end", "bytes", "packets", "frames",
		"keyframes",
		"starts_at_keyframe", "sha256", "reason", "injected", "dropped", "gaps"} {
		i := strings.Index(string(line[at:]), `"`+field+`":`)
		if i < 0 {
			t.Errorf("no %s, or not in its place: %s", field, line)
		}
		at += max(i, 0)
	}
	if n := bytes.Count(line, []byte(`":`)); n != 15 {
		t.Errorf("%d fields", n)
	}
	if matches, _ := filepath.Glob(filepath.Join(tr.dir, "*.ts")); len(matches) != 1 {
		t.Errorf("files %v", matches)
	}
}
