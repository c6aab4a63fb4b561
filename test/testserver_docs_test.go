package test

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/timdrysdale/vw/internal/testwait"
)

// TestDocumentedScript runs the shell script of docs/testserver.md as it stands there.
func TestDocumentedScript(t *testing.T) {
	t.Parallel()
	text := documented(t, "sh")
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
	dir, status := run(text)
	if status != 0 {
		t.Fatalf("exit status %d", status)
	}
	for _, name := range []string{"report.json", "junit.xml", "events.jsonl"} {
		if b := read(t, filepath.Join(dir, name)); len(b) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	if b := string(read(t, filepath.Join(dir, "report.json"))); !strings.Contains(b, `"do":"reset"`) ||
		!strings.Contains(b, `"bytes":102400`) {
		t.Errorf("report: %s", b)
	}
	// The same with another stream sent: the verdict is the script's status.
	if _, status := run(strings.Replace(text, `<"$1"`, "<"+sampleFile(t, "h264.ts"), 1)); status != 4 {
		t.Errorf("exit status %d with another stream, want 4", status)
	}
	// A publisher that fails ends the script, and vw-testserver with it.
	failing := strings.Replace(text, `vw-push --quiet "$(cat url)/cam1" <"$1"`, "exit 7", 1)
	dir, status = run(failing)
	if status != 7 {
		t.Errorf("exit status %d when the publisher fails, want 7", status)
	}
	url := strings.TrimPrefix(strings.TrimSpace(string(read(t, filepath.Join(dir, "url")))), "ws://")
	testwait.Eventually(t, "vw-testserver ends", func() bool {
		conn, err := net.Dial("tcp", url)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

// documented returns the block of docs/testserver.md that is in this language.
func documented(t *testing.T, language string) string {
	t.Helper()
	m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(read(t, "../docs/testserver.md"))
	if m == nil {
		t.Fatalf("there is no %s in docs/testserver.md", language)
	}
	return string(m[1])
}

// TestDocumentedJob runs what the GitHub Actions job of docs/testserver.md runs, as it stands there, in a checkout as
// it wants it; @latest is this tree. What the actions do that it uses is there: a checkout, Go, and the artifact's
// files.
func TestDocumentedJob(t *testing.T) {
	t.Parallel()
	job := documented(t, "yaml")
	checkout := t.TempDir()
	for name, data := range map[string][]byte{
		"ci/test-stream":     []byte(documented(t, "sh")),
		"testdata/sample.ts": read(t, sample("mpeg1.ts")),
	} {
		name = filepath.Join(checkout, name)
		if err := os.Mkdir(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	modules, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	addPath := filepath.Join(home, "add-path")
	env := append(os.Environ(), "GOPATH="+filepath.Join(home, "go"), "GOMODCACHE=", "GOBIN=", "GOFLAGS=-modcacherw",
		"GOSUMDB=off",
		"GOPROXY=file://"+moduleProxy(t)+",file://"+filepath.Join(strings.TrimSpace(string(modules)), "cache/download"),
		"GITHUB_PATH="+addPath)
	path := os.Getenv("PATH")
	steps := regexp.MustCompile(`(?m)^ +- run: (.*)$`).FindAllStringSubmatch(job, -1)
	if len(steps) < 3 {
		t.Fatalf("%d steps", len(steps))
	}
	for _, step := range steps {
		cmd := exec.Command("bash", "-e", "-c", step[1]) // as a runner does
		cmd.Dir = checkout
		cmd.Env = append(env, "PATH="+path)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", step[1], err, out)
		}
		if b, err := os.ReadFile(addPath); err == nil {
			path = strings.TrimSpace(string(b)) + ":" + os.Getenv("PATH")
		}
	}
	version := exec.Command("bash", "-c", "vw-testserver --version")
	version.Env = append(env, "PATH="+path)
	if out, err := version.Output(); err != nil || string(out) != "vw-testserver v0.0.1\n" {
		t.Errorf("--version after go install: %q, %v", out, err)
	}
	artifact := regexp.MustCompile(`path: "(.*)"`).FindStringSubmatch(job)
	if artifact == nil {
		t.Fatal("there is no artifact")
	}
	for name := range strings.SplitSeq(artifact[1], `\n`) {
		if b := read(t, filepath.Join(checkout, name)); len(b) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
}

// moduleProxy makes a folder that serves this tree as the only version of the module.
func moduleProxy(t *testing.T) string {
	t.Helper()
	const module, version = "github.com/timdrysdale/vw", "v0.0.1"
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for _, root := range []string{"go.mod", "go.sum", "LICENSE", "cmd", "internal", "lib"} {
		err := filepath.WalkDir(filepath.Join("..", root), func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			inside, err := filepath.Rel("..", name)
			if err != nil {
				return err
			}
			w, err := z.Create(module + "@" + version + "/" + filepath.ToSlash(inside))
			if err != nil {
				return err
			}
			_, err = w.Write(read(t, name))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	proxy := t.TempDir()
	folder := filepath.Join(proxy, module, "@v")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"list":            []byte(version + "\n"),
		version + ".info": []byte(`{"Version":"` + version + `"}`),
		version + ".mod":  read(t, "../go.mod"),
		version + ".zip":  archive.Bytes(),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return proxy
}

func sampleFile(t *testing.T, name string) string {
	file, err := filepath.Abs(sample(name))
	if err != nil {
		t.Fatal(err)
	}
	return file
}
