package test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/stream"
)

// clockwork feeds a stream frame by frame in real time, and notes when each was written.
type clockwork struct {
	all  []byte
	ends []int // where each frame ends in all
	at   []time.Time
}

// feed feeds until stop is closed, and closes w.
func (c *clockwork) feed(w *os.File, o tsgen.Options, interval time.Duration, stop <-chan struct{}) error {
	defer w.Close()
	g := tsgen.New(o)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		frame := g.Frame(nil)
		c.all = append(c.all, frame...)
		c.ends, c.at = append(c.ends, len(c.all)), append(c.at, time.Now())
		if _, err := w.Write(frame); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-stop:
			return nil
		}
	}
}

// lateness returns for each frame how long after it was written it arrived at vw-testserver, less the shortest of these
// times, because the two clocks have no common zero.
func (c *clockwork) lateness(t testing.TB, arrivals string) []time.Duration {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(read(t, arrivals))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var late []time.Duration
	size := 0
	for _, row := range rows[1:] {
		ns, err1 := strconv.ParseInt(row[2], 10, 64)
		n, err2 := strconv.Atoi(row[3])
		if err1 != nil || err2 != nil {
			t.Fatalf("%v", row)
		}
		size += n
		for len(late) < len(c.ends) && c.ends[len(late)] <= size {
			late = append(late, time.Duration(ns)-c.at[len(late)].Sub(c.at[0]))
		}
	}
	if len(late) == 0 || len(late) != len(c.ends) {
		t.Fatalf("%d of %d frames arrived", len(late), len(c.ends))
	}
	shortest := slices.Min(late)
	for i := range late {
		late[i] -= shortest
	}
	return late
}

// spread is a distribution of times.
type spread struct{ median, p99, longest time.Duration }

func spreadOf(times []time.Duration) spread {
	s := slices.Sorted(slices.Values(times))
	return spread{s[len(s)/2], s[len(s)*99/100], s[len(s)-1]}
}

func (s spread) String() string {
	const us = time.Microsecond
	return fmt.Sprintf("median %v, 99th percentile %v, longest %v", s.median.Round(us), s.p99.Round(us),
		s.longest.Round(us))
}

// TestFrozenDisk: while the disk hangs, for 2, 10 and 30 seconds up to VW_TEST_FREEZE, everything pushed arrives as it
// does otherwise, and the recorder accounts for every byte that it could not keep.
func TestFrozenDisk(t *testing.T) {
	// At 16 KiB a frame, more than fits the buffer arrives while the disk hangs, and the kernel cannot write it.
	options := tsgen.Options{GOP: 5, KeyPackets: 87, FramePackets: 87}
	longest := time.Duration(setting(t, "VW_TEST_FREEZE", 2)) * time.Second
	for _, with := range []string{"--tee", "tee -p"} {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			folder := mountExt4(t)
			tool(t, "fsfreeze")
			files, err := os.MkdirTemp(folder, "rec")
			if err != nil {
				t.Fatal(err)
			}
			own := t.TempDir()
			arrivals, manifest, ledger := filepath.Join(own, "arrivals.csv"), filepath.Join(own, "m.jsonl"),
				filepath.Join(own, "l.json")
			server := serve(t, "--conns", "1", "--arrivals", arrivals, "--timeout", (4*longest + testTimeout).String())
			record := []string{
				"--live", "--buffer", "300KiB", "--rotate-frames", "10",
				"--manifest", manifest, "--ledger", ledger, filepath.Join(files, "%Y%m%dT%H%M%SZ.ts"),
			}
			script := `"$1" --tee "${@:4}" | "$2" --live "$3"`
			if with == "tee -p" {
				script = `tee -p >("$1" "${@:4}") | "$2" --live "$3"`
			}
			in, w := pipe(t)
			p := start(t, wiring{stdin: in}, "bash", append([]string{"-c", script, "bash", tool(t, "vw-record"),
				tool(t, "vw-push"), server.url}, record...)...)
			in.Close()

			var stream clockwork
			stop, fed := make(chan struct{}), make(chan error, 1)
			go func() { fed <- stream.feed(w, options, 40*time.Millisecond, stop) }()
			testwait.Eventually(t, "the first files", func() bool { return len(finished(files)) >= 2 })
			turns := hangRepeatedly(t, folder, longest)
			close(stop)
			if err := <-fed; err != nil {
				t.Fatal(err)
			}
			p.expect(0)
			server.expect(0)
			same(t, "what arrived", server.saved(1), stream.all)

			checkLateness(t, turns, stream.at, stream.lateness(t, arrivals))

			// With tee(1) nothing waits for the end of the recorder.
			rec := &process{t: t, name: "vw-record", ledger: ledger, stderr: p.stderr}
			testwait.Eventually(t, "the recorder's ledger", func() bool {
				b, _ := os.ReadFile(ledger)
				return bytes.Contains(b, []byte(`"ended"`))
			})
			checkPartialRecording(t, rec.account(), int64(len(stream.all)), files, manifest)
		})
	}
}

// hangRepeatedly lets the disk of a folder hang for 2, 10 and 30 seconds, as far as the longest allows, with as much
// time in front of each and 2 s after the last. It hangs from each odd time returned to the next even one.
func hangRepeatedly(t *testing.T, folder string, longest time.Duration) (turns []time.Time) {
	t.Helper()
	turns = []time.Time{time.Now()}
	pass := func(d time.Duration) {
		time.Sleep(d)
		turns = append(turns, time.Now())
	}
	for _, d := range []time.Duration{2 * time.Second, 10 * time.Second, 30 * time.Second} {
		if d > longest {
			break
		}
		pass(d)
		thaw := freeze(t, folder)
		defer thaw() // before the processes are waited for: a process that waits for a frozen disk cannot be killed
		pass(d)
		thaw()
	}
	pass(2 * time.Second)
	return turns
}

// checkLateness checks that what was sent while the disk hung arrived no later than the rest: late is how late what was
// sent at a time arrived.
func checkLateness(t *testing.T, turns, at []time.Time, late []time.Duration) {
	t.Helper()
	var frozen, between []time.Duration
	for i, d := range late {
		turn, _ := slices.BinarySearchFunc(turns, at[i], time.Time.Compare)
		switch {
		case turn == 0 || turn == len(turns):
		case turn%2 == 0:
			frozen = append(frozen, d)
		default:
			between = append(between, d)
		}
	}
	hanging, usual := spreadOf(frozen), spreadOf(between)
	t.Logf("%d frames while the disk hung: %v", len(frozen), hanging)
	t.Logf("%d frames between: %v", len(between), usual)
	// The machine has other load. The effect of a hanging disk would be much larger.
	if hanging.median > 2*usual.median+5*time.Millisecond ||
		hanging.longest > max(usual.longest, 250*time.Millisecond) {
		t.Errorf("late while the disk hung: %v; else: %v", hanging, usual)
	}
}

// checkPartialRecording checks the ledger of a recorder that had to drop frames, and that its files and its manifest
// agree with it.
func checkPartialRecording(t *testing.T, s stream.Snapshot, sent int64, files, manifest string) {
	t.Helper()
	c := s.Out[0]
	if s.In.Bytes != sent || c.Dropped.Full == 0 ||
		c.Dropped.Full+c.Dropped.Resync != c.Dropped.Sum() {
		t.Errorf("%+v", s)
	}
	r, missing := readRecording(t, files, manifest)
	var dropped int64
	for _, e := range r.entries {
		dropped += e.Dropped
		if !e.StartsAtKeyframe {
			t.Errorf("%+v", e)
		}
	}
	if missing > 0 || int64(len(r.joined)) != c.Confirmed || dropped != c.Dropped.Sum() {
		t.Errorf("%d bytes in files, %d dropped, says the manifest; %+v", len(r.joined), dropped, c)
	}
	t.Logf("%d bytes, %d recorded, %d dropped", s.In.Bytes, c.Confirmed, c.Dropped.Sum())
}

// TestSlowDisk: a disk that hangs most of the time is slower than the stream. Without --live the stream waits and
// everything is recorded; with it, the stream never waits, and the ledger counts what is missing.
func TestSlowDisk(t *testing.T) {
	options := tsgen.Options{GOP: 5, KeyPackets: 87, FramePackets: 87}
	const hangs = time.Second
	for _, live := range []bool{false, true} {
		t.Run(fmt.Sprint("live ", live), func(t *testing.T) {
			t.Parallel()
			folder := mountExt4(t)
			tool(t, "fsfreeze")
			files := filepath.Join(folder, "rec")
			manifest := filepath.Join(t.TempDir(), "m.jsonl")
			in, w := pipe(t)
			p := start(t, wiring{stdin: in}, "vw-record", "--live="+strconv.FormatBool(live), "--buffer", "300KiB",
				"--rotate-frames", "10",
				"--manifest", manifest, filepath.Join(files, "cam.ts"))
			in.Close()
			var all []byte
			var waited time.Duration
			fed := make(chan error, 1)
			go func() {
				defer w.Close()
				g := tsgen.New(options)
				for i := range 300 {
					frame := g.Frame(nil)
					all = append(all, frame...)
					before := time.Now()
					if _, err := w.Write(frame); err != nil {
						fed <- err
						return
					}
					if i > 10 { // more than a pipe holds: the tool has started
						waited = max(waited, time.Since(before))
					}
					time.Sleep(5 * time.Millisecond) // so that the disk hangs more than once meanwhile
				}
				fed <- nil
			}()
			deadline := time.Now().Add(testTimeout)
			for running := true; running && time.Now().Before(deadline); {
				thaw := freeze(t, folder)
				select {
				case <-time.After(hangs):
				case <-p.done:
					running = false
				}
				thaw()
				time.Sleep(10 * time.Millisecond)
			}
			if err := <-fed; err != nil {
				t.Fatal(err)
			}
			status := p.wait()
			s := p.account()
			r, missing := readRecording(t, files, manifest)
			var dropped, gaps int64
			for _, e := range r.entries {
				dropped += e.Dropped
				gaps += e.Gaps
			}
			c := s.Out[0]
			t.Logf("the stream waited for %v at most; %d bytes, %d recorded, %d dropped, %d gaps", waited,
				s.In.Bytes, c.Confirmed, c.Dropped.Sum(), gaps)
			if missing > 0 || s.In.Bytes != int64(len(all)) || int64(len(r.joined)) != c.Confirmed {
				t.Errorf("%d bytes in files, %+v", len(r.joined), s)
			}
			switch {
			case !live:
				same(t, "the files, joined", r.joined, all)
				if status != 0 || waited < hangs/5 {
					t.Errorf("status %d; the stream waited for %v at most", status, waited)
				}
			case status != 3 || waited > hangs/2 || gaps == 0 || dropped > c.Dropped.Sum():
				t.Errorf("status %d; the stream waited for %v; %d dropped, %d gaps, says the manifest; %+v", status,
					waited, dropped, gaps, c)
			}
		})
	}
}

// TestFrozenAtStart: the stream passes while the disk hangs at start, and is recorded from when the disk answers.
func TestFrozenAtStart(t *testing.T) {
	t.Parallel()
	folder := mountExt4(t)
	manifest := filepath.Join(folder, "m.jsonl")
	b := read(t, sample("mpeg1.ts"))
	thaw := freeze(t, folder)
	defer thaw()
	in, w := pipe(t)
	p := start(t, wiring{stdin: in}, "vw-record", "--live", "--tee", "--rotate-frames", "24", "--manifest", manifest,
		filepath.Join(folder, "cam.ts"))
	in.Close()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	testwait.Eventually(t, "the copy", func() bool { return len(p.stdout.String()) == len(b) })
	p.find(p.stderr, "the disk does not answer")
	thaw()
	w.Close()
	p.expect(0)
	p.all(int64(len(b)))
	r, _ := readRecording(t, folder, manifest)
	same(t, "the files, joined", r.joined, b)
}
