package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedScript runs the shell script of docs/testserver.md as it stands there.
func TestDocumentedScript(t *testing.T) {
	t.Parallel()
	text := regexp.MustCompile("(?s)```sh\n(.*?)```").FindSubmatch(read(t, "../docs/testserver.md"))
	if text == nil {
		t.Fatal("there is no script in docs/testserver.md")
	}
	stream, err := filepath.Abs(sample("mpeg1.ts"))
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Dir(tool(t, "vw-testserver"))
	run := func(script string) (dir string, status int) {
		dir = t.TempDir()
		cmd := exec.Command("sh", "-c", script, "test-stream", stream)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState == nil {
			t.Fatalf("%v\n%s", err, out)
		} else {
			t.Logf("%s", out)
		}
		return dir, cmd.ProcessState.ExitCode()
	}
	dir, status := run(string(text[1]))
	if status != 0 {
		t.Fatalf("exit status %d", status)
	}
	for _, name := range []string{"report.json", "junit.xml", "events.jsonl"} {
		if b := read(t, filepath.Join(dir, name)); len(b) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	if b := string(read(t, filepath.Join(dir, "report.json"))); !strings.Contains(b, `"do":"reset"`) || !strings.Contains(b, `"bytes":102400`) {
		t.Errorf("report: %s", b)
	}
	// The same with another stream sent: the verdict is the script's status.
	if _, status := run(strings.Replace(string(text[1]), `<"$1"`, "<"+sampleFile(t, "h264.ts"), 1)); status != 4 {
		t.Errorf("exit status %d with another stream, want 4", status)
	}
}

func sampleFile(t *testing.T, name string) string {
	file, err := filepath.Abs(sample(name))
	if err != nil {
		t.Fatal(err)
	}
	return file
}
