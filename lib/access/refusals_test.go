package access

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}) }

var refusedLine = regexp.MustCompile(`^\S+ level=WARN msg=refused( addr=\S+ reason=[a-z]+)?( refused=(\d+))?$`)

// total is how many refusals the log counts.
func total(t *testing.T, log *logBuffer) (n int) {
	t.Helper()
	for _, line := range log.lines() {
		m := refusedLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("line: %s", line)
		}
		count := 1
		if m[3] != "" {
			count, _ = strconv.Atoi(m[3])
		}
		n += count
	}
	return n
}

func TestRefusalLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		l := NewRefusalLog(log)
		l.Refused(address(1), BadToken)
		l.Refused(netip.Addr{}, BadOrigin)
		if text := log.String(); !strings.Contains(text, "msg=refused addr=192.0.0.1 reason=token\n") ||
			!strings.Contains(text, "msg=refused addr=unix reason=origin\n") {
			t.Errorf("log: %s", text)
		}
		for i := range 3000 {
			l.Refused(address(i), BadToken)
			l.Refused(address(i), BadToken)
		}
		if n := len(log.lines()); n != refusalsPerSecond {
			t.Errorf("%d lines in the first second", n)
		}
		l.mu.Lock()
		remembered := len(l.pending)
		l.mu.Unlock()
		if remembered != maxRefused {
			t.Errorf("%d addresses are remembered", remembered)
		}
		time.Sleep(5*time.Second + time.Millisecond)
		if n := len(log.lines()); n != 6*refusalsPerSecond {
			t.Errorf("%d lines in six seconds", n)
		}
		l.Flush()
		if n := total(t, log); n != 6002 {
			t.Errorf("the log tells %d refusals", n)
		}
		if l.Counts()[BadToken] != 6001 || l.Counts()[BadOrigin] != 1 {
			t.Errorf("counts: %v", l.Counts())
		}
	})
}

func TestRefusalLogDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		l := NewRefusalLog(log)
		for i := range 25 {
			l.Refused(address(i), TooMany)
		}
		time.Sleep(3 * time.Second)
		if n := len(log.lines()); n != 25 || total(t, log) != 25 {
			t.Errorf("%d lines", n)
		}
		l.Refused(address(0), TooMany)
		if n := len(log.lines()); n != 26 {
			t.Errorf("%d lines", n)
		}
		l.Flush()
		if n := len(log.lines()); n != 26 {
			t.Errorf("%d lines", n)
		}
		if fmt.Sprint(l.Counts()) != "map[limit:26]" {
			t.Errorf("counts: %v", l.Counts())
		}
	})
}
