package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// TestOneFile: the four tools in one file say and do what each does by itself, by links with their names and by the
// first argument.
func TestOneFile(t *testing.T) {
	t.Parallel()
	single := filepath.Dir(tool(t, "vw-push"))
	links := t.TempDir()
	one := filepath.Join(single, "vw")
	for _, name := range []string{"vw-ingest", "vw-push", "vw-record", "vw-testserver"} {
		if err := os.Symlink(one, filepath.Join(links, name)); err != nil {
			t.Fatal(err)
		}
		for _, flag := range []string{"--help", "--man", "--version", "--no-such-flag"} {
			want, _ := exec.Command(filepath.Join(single, name), flag).CombinedOutput()
			byLink, _ := exec.Command(filepath.Join(links, name), flag).CombinedOutput()
			byArgument, _ := exec.Command(one, strings.TrimPrefix(name, "vw-"), flag).CombinedOutput()
			same(t, name+" "+flag+" by a link", byLink, want)
			same(t, name+" "+flag+" by an argument", byArgument, want)
		}
	}
	for _, args := range [][]string{nil, {"pull"}, {"--live"}} {
		cmd := exec.Command(one, args...)
		out, _ := cmd.CombinedOutput()
		if status := cmd.ProcessState.ExitCode(); status != 2 || !strings.HasPrefix(string(out), "usage: vw ") {
			t.Errorf("vw %q: status %d: %s", args, status, out)
		}
	}

	source, err := filepath.Abs(sample("h264.ts"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	cmd := exec.Command("bash", "-c", `
		set -euo pipefail
		GODEBUG=schedtrace=20 vw-testserver --listen 127.0.0.1:0 --announce url --conns 1 --timeout 60s --expect-clean \
			--save "$PWD" --report report.json >events 2>sched &
		while [ ! -s url ]; do kill -0 $!; sleep 0.05; done
		vw-record --tee cam.ts <"$1" | vw-push "$(cat url)"
		wait $!`, "bash", source)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "PATH="+links+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	same(t, "the recording", read(t, filepath.Join(folder, "cam.ts")), read(t, source))
	sched := string(read(t, filepath.Join(folder, "sched")))
	all := regexp.MustCompile(`gomaxprocs=(\d+)`).FindAllStringSubmatch(sched, -1)
	if len(all) == 0 {
		t.Fatal("the runtime said nothing of its processors")
	}
	if last := all[len(all)-1][1]; last != strconv.Itoa(runtime.GOMAXPROCS(0)) {
		t.Errorf("vw-testserver has %s processors of %d", last, runtime.GOMAXPROCS(0))
	}
}
