package push

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"
)

// slowLog keeps what it is to log until it has room.
type slowLog struct {
	logs
	waiting map[string]func() (slog.Level, string, []any)
}

func (l *slowLog) LogLatest(key string, line func() (slog.Level, string, []any)) {
	l.waiting[key] = line
}

// room logs what waits.
func (l *slowLog) room() string {
	var logged string
	for _, line := range l.waiting {
		level, msg, args := line()
		logged += fmt.Sprintln(append([]any{level, msg}, args...)...)
	}
	clear(l.waiting)
	return logged
}

// TestStatusLogSumsUp: nothing is forgotten that happens while the log has no room.
func TestStatusLogSumsUp(t *testing.T) {
	l := &slowLog{waiting: map[string]func() (slog.Level, string, []any){}}
	n := statusLog{to: "x", log: l}
	reset, refused := errors.New("reset"), &dialError{errors.New("refused")}
	for _, step := range []struct {
		happens func()
		want    string
	}{
		{n.added, "INFO destination added to x\n"},
		{func() { n.lost(refused, time.Second) }, "WARN no connection to x err refused again_in 1s\n"},
		{func() { n.connected(time.Minute, 7) }, "INFO connected to x after 1m0s dropped 7\n"},
		{func() { n.lost(reset, time.Second) }, "WARN connection lost to x err reset again_in 1s\n"},
		{func() {
			n.lost(refused, time.Second)
			n.connected(2*time.Second, 1)
		}, "INFO connected to x after 2s dropped 1 last_err refused\n"},
		{func() {
			for range 3 {
				n.lost(reset, time.Second)
				n.connected(2*time.Second, 10)
			}
		}, "INFO connected to x after 6s dropped 30 outages 3 last_err reset\n"},
		{func() {
			n.lost(refused, time.Second)
			n.connected(2*time.Second, 10)
			n.lost(reset, time.Millisecond)
		}, "WARN connection lost to x err reset again_in 1ms after 2s dropped 10 outages 1\n"},
		{func() { n.connected(time.Second, 0) }, "INFO connected to x after 1s dropped 0\n"},
		{func() {
			n.lost(reset, time.Second)
			n.lost(refused, time.Millisecond)
		}, "WARN no connection to x err refused again_in 1ms lost reset\n"},
		{func() { n.lost(refused, time.Second) }, "WARN no connection to x err refused again_in 1s\n"},
		{func() { n.connected(time.Second, 0) }, "INFO connected to x after 1s dropped 0\n"},
		{func() {
			n.lost(reset, time.Second)
			n.lost(refused, time.Second)
			n.connected(2*time.Second, 1)
		}, "INFO connected to x after 2s dropped 1 last_err refused lost reset\n"},
		{func() { n.slow(5, 3); n.slow(6, 2) }, "WARN the link is slower than the stream to x dropped 11 held 2\n"},
		{func() { n.slow(1, 0) }, "WARN the link is slower than the stream to x dropped 1 held 0\n"},
		{func() {
			n.lost(reset, time.Second)
			n.connected(time.Second, 1)
			n.removed()
			n.lost(reset, time.Second)
		}, "INFO destination removed to x after 1s dropped 1 outages 1 last_err reset\n"},
		{func() { n.lost(reset, time.Second) }, ""},
	} {
		step.happens()
		if got := l.room(); got != step.want {
			t.Errorf("logged: %swant: %s", got, step.want)
		}
	}
}
