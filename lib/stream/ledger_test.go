package stream

import "testing"

// TestClosedAccountGoesOn: an output that comes again has the account that it had; one that is still there keeps its
// own.
func TestClosedAccountGoesOn(t *testing.T) {
	l := NewLedger("test")
	first, other := l.Open("a"), l.Open("a")
	first.read(amount{bytes: 10})
	first.abort(Shutdown)
	first.Close()
	again := l.Open("a")
	again.read(amount{bytes: 5})
	if again != first || other == first || l.Open("b") == first {
		t.Error("it is another account")
	}
	s := l.Snapshot(false)
	if len(s.Out) != 3 || s.Out[0].In != 15 || s.Out[0].Held != 5 || !s.Out[0].Balances() || s.Out[1].In != 0 {
		t.Errorf("%+v", s)
	}
}
