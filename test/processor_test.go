package test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strconv"
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

// TestPackagesBeginSmall: no package of vw makes much before main, such as a regular expression, which is memory that
// stays and time at each start.
func TestPackagesBeginSmall(t *testing.T) {
	t.Parallel()
	const most = 16 << 10 // bytes
	line := regexp.MustCompile(`(?m)^init (\S*/vw/\S+) @.* (\d+) bytes, \d+ allocs$`)
	for _, name := range []string{"vw-ingest", "vw-push", "vw-record"} {
		cmd := exec.Command(tool(t, name), "--version")
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		said, err := cmd.CombinedOutput()
		all := line.FindAllSubmatch(said, -1)
		if err != nil || len(all) == 0 {
			t.Fatalf("%s: %v: no package of vw in\n%s", name, err, said)
		}
		for _, m := range all {
			if n, _ := strconv.Atoi(string(m[2])); n > most {
				t.Errorf("%s: package %s makes %d bytes before main", name, m[1], n)
			}
		}
	}
}
