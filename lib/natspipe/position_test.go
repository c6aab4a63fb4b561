package natspipe

import (
	"testing"

	"github.com/nats-io/nats.go"
)

func TestParsePosition(t *testing.T) {
	for _, p := range []position{{id: "abc"}, {id: "abc", pos: 12345678901}, {id: "x", start: true},
		{id: "abc", pos: 5, start: true, front: 4}} {
		m := nats.NewMsg("s")
		m.Data = []byte("front and data")
		m.Header.Set(positionHeader, p.String())
		if got, err := parsePosition(m); err != nil || got != p {
			t.Errorf("%q: %+v, %v", p.String(), got, err)
		}
	}
	for _, bad := range []string{"", "abc", "abc x", "abc -1", "abc 9223372036854775807", "abc 1 start",
		"abc 1 start 5", "abc 1 start -1", "abc 01", "abc 1 2", "abc 1 start 2 3", " abc 1"} {
		m := nats.NewMsg("s")
		m.Data = []byte("data")
		m.Header.Set(positionHeader, bad)
		if got, err := parsePosition(m); err == nil {
			t.Errorf("%q is taken for %+v", bad, got)
		}
	}
}

// TestFollower: each message is passed on once, in order, and what is missing is counted.
func TestFollower(t *testing.T) {
	at := func(id string, pos int64, start bool) position { return position{id: id, pos: pos, start: start} }
	var f follower
	for i, s := range []struct {
		p       position
		want    step
		missing int64
	}{
		{at("a", 10, false), skipped, 0}, // nothing can start with it
		{at("a", 20, true), begins, 0},
		{at("a", 30, false), next, 0},
		{at("a", 20, true), skipped, 0}, // again
		{at("a", 30, false), skipped, 0},
		{at("a", 40, true), next, 0},
		{at("a", 60, false), gap, 10},
		{at("b", 5, false), skipped, 0}, // of a publisher whose group has not begun
		{at("a", 70, false), next, 0},
		{at("b", 15, true), begins, 0},
		{at("a", 80, false), skipped, 0},
		{at("b", 25, false), next, 0},
	} {
		if got, missing := f.follow(s.p, 10); got != s.want || missing != s.missing {
			t.Errorf("message %d, %v: %v with %d missing, want %v with %d", i, s.p, got, missing, s.want, s.missing)
		}
	}
}

// FuzzPosition: a header that passes means what it says, and nothing in it overflows.
func FuzzPosition(f *testing.F) {
	f.Add("abc 0", 0)
	f.Add("abc 188 start 376", 1000)
	f.Add("abc 72057594037927936", 1<<20)
	f.Add("abc 9223372036854775807", 10)
	f.Fuzz(func(t *testing.T, header string, size int) {
		m := nats.NewMsg("s")
		m.Data = make([]byte, min(max(size, 0), 1<<20))
		m.Header[positionHeader] = []string{header}
		p, err := parsePosition(m)
		if err != nil {
			return
		}
		var follow follower
		follow.follow(position{id: p.id, start: true}, 1)
		_, missing := follow.follow(p, len(m.Data)-p.front)
		if p.String() != header || missing < 0 || follow.next < 0 {
			t.Errorf("%q: %+v, %d missing, %d comes next", header, p, missing, follow.next)
		}
	})
}
