package wake

import "testing"

func TestSetsBeforeAReceiveCountOnce(t *testing.T) {
	s := New()
	s.Set()
	s.Set()
	<-s
	select {
	case <-s:
		t.Error("two calls of Set woke twice")
	default:
	}
	s.Set()
	<-s
}
