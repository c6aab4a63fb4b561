package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// TestContainer builds the image of docs/recipes/container.md, and runs a tool in it.
func TestContainer(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can build an image without more rights")
	}
	buildah := tool(t, "buildah")
	file := regexp.MustCompile("(?s)```dockerfile\n(.*?)```").FindStringSubmatch(string(read(t,
		"../docs/recipes/container.md")))
	if file == nil {
		t.Fatal("docs/recipes/container.md has no Containerfile")
	}
	work := t.TempDir()
	text := strings.ReplaceAll(file[1], "linux-amd64", "linux-"+runtime.GOARCH)
	if err := os.WriteFile(filepath.Join(work, "Containerfile"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "../scripts/build", "--target", "linux-"+runtime.GOARCH, "--into", filepath.Join(work, "dist"))
	build := func(args ...string) string {
		t.Helper()
		storage := []string{"--storage-driver", "vfs", "--root", work + "/storage", "--runroot", work + "/run"}
		out, err := exec.Command(buildah, append(storage, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("buildah %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return lines[len(lines)-1]
	}
	build("build", "--isolation", "chroot", "-t", "vw", work)
	container := build("from", "vw")
	for _, name := range []string{"vw-ingest", "vw-push", "vw-record", "vw-testserver"} {
		out := build("run", "--isolation", "chroot", container, "--", name, "--version")
		if !strings.HasPrefix(out, name) {
			t.Errorf("%s --version in the image: %q", name, out)
		}
	}
}
