package test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// recipe returns the shell script of a page below docs/recipes.
func recipe(t *testing.T, page string) string {
	t.Helper()
	b := read(t, filepath.Join("..", "docs", "recipes", page))
	_, script, begins := strings.Cut(string(b), "```sh\n")
	script, _, ends := strings.Cut(script, "```\n")
	if !begins || !ends {
		t.Fatalf("%s has no script", page)
	}
	return script
}

// TestRecipeCheck runs the script that holds a folder against its manifest.
func TestRecipeCheck(t *testing.T) {
	t.Parallel()
	tool(t, "jq")
	folder := memoryFolder(t)
	script := write(t, "check-recordings", []byte(recipe(t, "check.md")))
	manifest := filepath.Join(folder, "m.jsonl")
	b := tsgen.Frames(tsgen.Options{GOP: 5}, 50)
	start(t, wiring{stdin: bytes.NewReader(b)}, "vw-record", "--quiet", "--rotate-frames", "10", "--manifest", manifest,
		filepath.Join(folder, "x.ts")).expect(0)
	check := func(want string) {
		t.Helper()
		out, err := exec.Command("sh", script, manifest).CombinedOutput()
		if string(out) != want || (err == nil) != (want == "") {
			t.Errorf("%v, %q, want %q", err, out, want)
		}
	}
	check("")
	if err := os.WriteFile(filepath.Join(folder, "extra.ts"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "x_001.ts"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	check("x_001.ts: not what was recorded\nextra.ts: no line in the manifest\n")
}

// TestRecordingUnderTimeout: timeout(1) sends its signal to the tool and to the tool's process group, which is one
// request to finish, and the recording is whole. A signal to timeout(1) has the same effect as the end of the time.
func TestRecordingUnderTimeout(t *testing.T) {
	t.Parallel()
	folder := memoryFolder(t)
	manifest := filepath.Join(folder, "m.jsonl")
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, wiring{stdin: in}, tool(t, "timeout"), "--preserve-status", "1h", tool(t, "vw-record"),
		"--linger", "1s", "--rotate-frames", "10", "--manifest", manifest, filepath.Join(folder, "x.ts"))
	in.Close()
	b := tsgen.Frames(tsgen.Options{GOP: 5}, 48)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	testwait.Eventually(t, "all but the last files", func() bool { return len(finished(folder)) >= 4 })
	p.signal(syscall.SIGTERM)
	p.expect(0)
	if r, _ := readRecording(t, folder, manifest); !bytes.Equal(r.joined, b) {
		t.Errorf("%d bytes of %d are recorded", len(r.joined), len(b))
	}
}

// TestRecipeObjectStorage runs the recipe against an S3 server that is away at first, with a recorder that is killed
// meanwhile: each file arrives whole, and none is deleted before.
func TestRecipeObjectStorage(t *testing.T) {
	t.Parallel()
	tool(t, "rclone")
	server := filepath.Join("s3", "versitygw") // where scripts/test installs it
	if _, err := os.Stat(server); err != nil {
		t.Skipf("SKIPPED: %v; scripts/test installs it", err)
	}
	server, _ = filepath.Abs(server)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close() // the server takes it later, as one does that was away
	folder := memoryFolder(t)
	objects := filepath.Join(folder, "objects")
	for _, dir := range []string{objects, filepath.Join(folder, "rec")} {
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") { // rclone would take them for its own
			env = append(env, v)
		}
	}
	env = append(env, "S3_ENDPOINT=http://"+address, "S3_KEY=key", "S3_SECRET=secretsecret",
		"PATH="+filepath.Dir(tool(t, "vw-record"))+":"+os.Getenv("PATH"))
	script := strings.Replace(recipe(t, "object-storage.md"), "--rotate-time 10m", "--rotate-frames 10", 1)
	run := func(in []byte, linger string) *exec.Cmd {
		cmd := exec.Command("sh", "-c", strings.Replace(script, "--linger 2m", "--linger "+linger, 1))
		cmd.Dir, cmd.Env, cmd.Stdin = folder, env, bytes.NewReader(in)
		return cmd
	}
	b := tsgen.Frames(tsgen.Options{GOP: 5}, 50)
	if out, err := run(b, "2s").CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--exec failed")) {
		t.Fatalf("%v %s", err, out)
	}
	s3 := exec.Command(server, "--port", address, "posix", objects)
	s3.Env = append(os.Environ(), "ROOT_ACCESS_KEY=key", "ROOT_SECRET_KEY=secretsecret")
	if err := s3.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s3.Process.Kill(); _ = s3.Wait() })
	setup, _, _ := strings.Cut(script, "vw-record ")
	testwait.Eventually(t, "the bucket is made", func() bool {
		mkdir := exec.Command("sh", "-c", setup+"rclone mkdir --retries 1 store:recordings")
		mkdir.Env = env
		return mkdir.Run() == nil
	})
	killed := run(nil, "2m")
	killed.Args[2] = strings.Replace(killed.Args[2], "vw-record ", "exec vw-record ", 1)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	stored := func() (n int) {
		names, _ := filepath.Glob(filepath.Join(objects, "recordings", "*.ts"))
		return len(names)
	}
	testwait.Eventually(t, "the first file is stored", func() bool { return stored() > 0 })
	_ = killed.Process.Kill()
	_ = killed.Wait()
	if out, err := run(nil, "1m").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	r, missing := readRecording(t, filepath.Join(folder, "rec"), filepath.Join(folder, "rec", "cam1.jsonl"))
	if missing > 0 || !bytes.Equal(r.joined, b) {
		t.Errorf("%d files are gone; %d bytes of %d are here", missing, len(r.joined), len(b))
	}
	for _, e := range r.entries {
		here, there := filepath.Join(folder, "rec", e.File), filepath.Join(objects, "recordings", e.File)
		if !bytes.Equal(read(t, here), read(t, there)) {
			t.Errorf("%s is not what was recorded", there)
		}
	}
	if n := stored(); n != len(r.entries) {
		t.Errorf("%d objects, want %d", n, len(r.entries))
	}
}
