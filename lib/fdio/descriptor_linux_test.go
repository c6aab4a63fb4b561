package fdio

import "testing"

func TestABusyProcessMakesAnOrdinaryCallNowAndThen(t *testing.T) {
	_, w := nonblockingPipe(t)
	ordinary, write := 0, w.d.out.ordinary
	w.d.out.ordinary = func(fd int, p []byte) (int, error) {
		ordinary++
		return write(fd, p)
	}
	for range 3 * (maxRawCalls + 1) {
		if _, err := w.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if ordinary < 2 {
		t.Fatalf("%d of %d calls were ordinary ones", ordinary, 3*(maxRawCalls+1))
	}
}
