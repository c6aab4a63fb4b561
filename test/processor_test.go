package test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// TestSingleProcessorEarly: a pipe tool goes down to one processor before much of it is there; vw-testserver does not.
func TestSingleProcessorEarly(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"vw-ingest", "vw-push", "vw-record", "vw-nats", "vw-testserver"} {
		cmd := exec.Command(tool(t, name), "--version")
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		said, err := cmd.CombinedOutput()
		one := bytes.Index(said, []byte("vw/lib/cli/singleproc @"))
		rest := bytes.Index(said, []byte("init os @"))
		if err != nil || rest < 0 || (name == "vw-testserver") != (one < 0) || one > rest {
			t.Errorf("%s: %v: initialised at %d, and package os at %d of\n%s", name, err, one, rest, said)
		}
	}
}
