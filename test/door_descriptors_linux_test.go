package test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/internal/testwait"
)

// TestDoorDescriptors: whatever thousands without a token ask for, and however long they stay after the answer, they do
// not use up the descriptors that a process has by default, and who has the token gets in.
func TestDoorDescriptors(t *testing.T) {
	t.Parallel()
	const host = " HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, send := range map[string]string{
		"health":        "GET /healthz" + host,
		"metrics":       "GET /metrics" + host,
		"a wrong token": "POST /wrong HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
		"no publisher":  "DELETE /" + host,
		"nonsense":      "nonsense\r\n\r\n",
		"half a header": "POST /wrong HTTP/1.1\r\nHost: x\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openDoor(t, "--token-file", tokenFile(t))
			limit := unix.Rlimit{Cur: 1024, Max: 1024}
			if err := unix.Prlimit(d.cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
				t.Fatal(err)
			}
			good := d.publish()
			before := descriptors(t, d.process)
			crowd := d.crowd(3000, 64, send, 3200)
			for visits := int64(500); visits <= 5000; visits += 500 {
				testwait.Eventually(t, fmt.Sprint(visits, " connections"), func() bool {
					if n := descriptors(t, d.process); n > 900 {
						t.Fatalf("%d descriptors", n)
					}
					return crowd.offered.Load() >= visits
				})
			}
			for range 3 {
				conn := d.dial(2)
				_, _ = io.WriteString(conn, chunkedPost)
				if got := statusOf(conn); got != 409 {
					t.Errorf("who has the token got %d", got)
				}
				conn.Close()
			}
			t.Logf("%.0f connections a second", crowd.rate())
			crowd.end()
			if strings.Contains(d.stderr.String(), "too many open files") {
				t.Error("there were not enough descriptors")
			}
			d.gives(before)
			good.end()
		})
	}
}
