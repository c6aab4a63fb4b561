package childenv

import (
	"slices"
	"testing"
)

func TestFilter(t *testing.T) {
	env := []string{
		"PATH=/bin", "NOTIFY_SOCKET=/run/x", "LISTEN_FDS=1", "LISTEN_PID=1", "LISTEN_FDNAMES=a", "WATCHDOG_USEC=1",
		"WATCHDOG_PID=1", "VW_INGEST_TOKEN=a=b", "VW_PUSH_TOKEN=c", "VW_RECORD_FILE=d", "TOKEN=e", "",
	}
	if got := Filter(env); !slices.Equal(got, []string{"PATH=/bin", "VW_RECORD_FILE=d", "TOKEN=e", ""}) {
		t.Errorf("left: %q", got)
	}
	if env[1] != "NOTIFY_SOCKET=/run/x" {
		t.Error("the caller's environment has changed")
	}
}
