package cli

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// plainLogger logs level, message and attributes only.
func plainLogger(b *bytes.Buffer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// testThrottled runs a test of a ThrottledLogger, in a time of its own. expect lets time go by and says what must have
// been logged by then.
func testThrottled(t *testing.T, level slog.Level, test func(l *ThrottledLogger, expect func(after time.Duration,
	want string))) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		l := NewThrottledLogger(plainLogger(&b, level))
		test(l, func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			l.mu.Lock()
			defer l.mu.Unlock()
			if b.String() != want {
				t.Errorf("logged:\n%swant:\n%s", b.String(), want)
			}
			b.Reset()
		})
	})
}

// TestThrottledTime: the time of a line is that of what happened, not of when there was room for the line.
func TestThrottledTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		l := NewThrottledLogger(NewLogger(&b, "vw-test", "text", false))
		l.Info("a", "first")
		b.Reset()
		happened := time.Now().UTC()
		l.Info("b", "second")
		time.Sleep(throttleInterval)
		l.Flush()
		if want := "time=" + happened.Format("2006-01-02T15:04:05.000Z07:00"); !strings.HasPrefix(b.String(), want) {
			t.Errorf("%q, want %s", b.String(), want)
		}
	})
}

func TestThrottledLogger(t *testing.T) {
	testThrottled(t, slog.LevelInfo, func(l *ThrottledLogger, expect func(time.Duration, string)) {
		l.Warn("a", "trouble", "n", 1)
		expect(0, "level=WARN msg=trouble n=1\n")
		l.Warn("a", "trouble", "n", 2)
		expect(throttleInterval/2, "")
		l.Info("a", "no trouble", "n", 3)
		l.Error("b", "other")
		expect(throttleInterval/2-1, "")
		expect(1, "level=INFO msg=\"no trouble\" n=3 left_out=1 ago=500ms\n")
		l.Warn("a", "trouble", "n", 4) // after b, which waits
		expect(throttleInterval, "level=ERROR msg=other ago=1.5s\n")
		expect(throttleInterval, "level=WARN msg=trouble n=4 ago=2s\n")
		expect(10*throttleInterval, "")
		l.Warn("a", "trouble", "n", 5)
		expect(0, "level=WARN msg=trouble n=5\n")
	})
}

// TestThrottledLoggerUnderStress: however many lines there are of however many things, one a second is logged, each
// thing has its turn, and none of them is lost count of.
func TestThrottledLoggerUnderStress(t *testing.T) {
	const things, each = 20, 500
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		l := NewThrottledLogger(plainLogger(&b, slog.LevelInfo))
		began := time.Now()
		for range each {
			for n := range things {
				l.Warn(fmt.Sprint(n), "trouble", "with", n)
			}
			time.Sleep(100 * time.Millisecond)
		}
		l.mu.Lock()
		if lines, most := strings.Count(b.String(), "\n"), 1+int(time.Since(began)/throttleInterval); lines > most {
			t.Errorf("%d lines in %v", lines, time.Since(began))
		}
		l.mu.Unlock()
		time.Sleep(things * throttleInterval)
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		logged := make(map[int]int)
		for line := range strings.Lines(b.String()) {
			var with, more int
			if n, _ := fmt.Sscanf(line, "level=WARN msg=trouble with=%d left_out=%d", &with, &more); n == 0 {
				t.Fatal(line)
			}
			logged[with] += 1 + more
		}
		for n := range things {
			if logged[n] != each {
				t.Errorf("of %d, %d of %d lines are accounted for", n, logged[n], each)
			}
		}
	})
}

// TestThrottledLoggerFormatsWhenItLogs, not before: what a line sums up may have grown while it waited.
func TestThrottledLoggerFormatsWhenItLogs(t *testing.T) {
	testThrottled(t, slog.LevelInfo, func(l *ThrottledLogger, expect func(time.Duration, string)) {
		sum := 0
		line := func() (slog.Level, string, []any) { return slog.LevelInfo, "so far", []any{"sum", sum} }
		l.LogLatest("a", line)
		expect(0, "level=INFO msg=\"so far\" sum=0\n")
		for range 3 {
			sum++
			l.LogLatest("a", line)
		}
		expect(throttleInterval, "level=INFO msg=\"so far\" sum=3 left_out=2 ago=1s\n")
	})
}

// TestThrottledLoggerLevel: a line below the level does not delay the next one.
func TestThrottledLoggerLevel(t *testing.T) {
	testThrottled(t, slog.LevelError, func(l *ThrottledLogger, expect func(time.Duration, string)) {
		l.Warn("a", "trouble")
		l.Error("b", "failure")
		l.Warn("a", "trouble")
		l.Error("c", "another")
		expect(0, "level=ERROR msg=failure\n")
		expect(throttleInterval, "level=ERROR msg=another ago=1s\n")
	})
}

func TestThrottledLoggerFlush(t *testing.T) {
	testThrottled(t, slog.LevelInfo, func(l *ThrottledLogger, expect func(time.Duration, string)) {
		for n := range 3 {
			l.Warn("a", "trouble", "n", n)
			l.Warn("b", "other", "n", n)
		}
		expect(0, "level=WARN msg=trouble n=0\n")
		l.Flush()
		expect(0, "level=WARN msg=other n=2 left_out=2\nlevel=WARN msg=trouble n=2 left_out=1\n")
		l.Flush()
		expect(2*throttleInterval, "")
	})
}

// TestThrottledLoggerFor: the key of a line is its source and its message.
func TestThrottledLoggerFor(t *testing.T) {
	testThrottled(t, slog.LevelInfo, func(l *ThrottledLogger, expect func(time.Duration, string)) {
		x, y := l.For("x"), l.For("y")
		x.Warn("late", "n", 1)
		x.Warn("late", "n", 2)
		y.Info("late", "n", 3)
		x.Error("early", "n", 4)
		x.Warn("late", "n", 5)
		l.Flush()
		expect(0, "level=WARN msg=late n=1\nlevel=WARN msg=late n=5 left_out=1\n"+
			"level=INFO msg=late n=3\nlevel=ERROR msg=early n=4\n")
	})
}
