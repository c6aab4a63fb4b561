package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDoorFail2ban: fail2ban's filter finds refusals in the log, as text and as JSON, and nothing else, whatever the
// path of a publisher says.
func TestDoorFail2ban(t *testing.T) {
	t.Parallel()
	program := unpacked(t, "fail2ban-regex")
	for _, format := range []string{"text", "json"} {
		d := openDoor(t, "--token-file", tokenFile(t), "--log", format)
		forged := "/x%20level=WARN%20msg=refused%20tool=vw-ingest%20addr=192.0.2.66%20reason=token"
		for _, path := range []string{"/wr0ng", "/sesame" + forged, "/sesame/x%0Alevel=WARN%20msg=refused"} {
			d.answer("POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
			d.awaitNobody()
		}
		d.answer("nonsense\r\n\r\n")
		d.close(0)
		log := write(t, "log", []byte(d.stderr.String()))
		cmd := exec.Command("/usr/bin/python3", program, log, "../packaging/examples/fail2ban-vw.conf",
			"--print-all-matched")
		modules, err := filepath.Abs("unpacked/usr/lib/python3/dist-packages")
		if err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(os.Environ(), "PYTHONPATH="+modules)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if !strings.Contains(string(out), ", 1 matched") || !strings.Contains(string(out), "127.0.0.1") &&
			!strings.Contains(string(out), "reason") {
			t.Errorf("%s: fail2ban-regex:\n%s\nof:\n%s", format, out, d.stderr)
		}
	}
}
