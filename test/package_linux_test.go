package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackage installs the Debian package in a fresh Debian root, boots that, and has a service run a whole pipeline:
// its members are killed, it is stopped, upgraded, removed and purged.
func TestPackage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can boot a machine in a container")
	}
	for _, name := range []string{"mmdebstrap", "systemd-nspawn", "dpkg"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("SKIPPED: %s is not installed (scripts/test installs it)", name)
		}
	}
	work := t.TempDir()
	root := filepath.Join(work, "root")
	run(t, "../scripts/release", "0.0.1", "--snapshot", "--only", "amd64", "--into", filepath.Join(work, "release"))
	deb := filepath.Join(work, "release", "vw_0.0.1-1_amd64.deb")
	if _, err := exec.LookPath("lintian"); err == nil {
		run(t, "lintian", "--allow-root", "--fail-on", "error", deb)
	}
	run(t, "mmdebstrap", "--quiet", "--variant=minbase",
		"--include=systemd,systemd-sysv,dbus,bash,ca-certificates,procps,curl",
		"bookworm", root)
	run(t, "dpkg", "--root="+root, "-i", deb)

	stream := read(t, sample("mpeg1.ts"))
	script := string(read(t, sample("package/boot.sh")))
	for name, content := range map[string]string{
		"root/boot.sh":   script,
		"root/stream.ts": string(stream),
		"root/vw.deb":    string(read(t, deb)),
		"etc/systemd/system/boot-test.service": "[Unit]\nAfter=multi-user.target\n" +
			"SuccessAction=exit\nFailureAction=exit\n[Service]\nType=oneshot\n" +
			"ExecStart=/bin/bash /root/boot.sh\nTimeoutStartSec=600\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	wants := filepath.Join(root, "etc/systemd/system/default.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../boot-test.service", filepath.Join(wants, "boot-test.service")); err != nil {
		t.Fatal(err)
	}
	boot := exec.Command("systemd-nspawn", "--quiet", "--directory="+root, "--register=no", "--keep-unit",
		"--private-network", "--console=pipe", "--boot")
	out, err := boot.CombinedOutput()
	result, missing := os.ReadFile(filepath.Join(root, "root/result"))
	if missing != nil {
		t.Fatalf("the machine did not run the test: %v\n%s", err, out)
	}
	for _, want := range []string{
		"started: yes", "published: 204", "refused: 401", "page: 200",
		"back after kill -9 of vw-push: yes", "back after kill -9 of vw-record: yes",
		"back after kill -9 of vw-ingest: yes",
		"Result=success", "ExecMainStatus=0", "told twice: 0",
		fmt.Sprintf("received: %d", len(stream)), fmt.Sprintf("recorded: %d", len(stream)),
		"upgraded: yes", "stopped at removal: yes", "configuration kept at removal: yes",
	} {
		if !strings.Contains(string(result), want+"\n") {
			t.Errorf("not seen in the machine: %q", want)
		}
	}
	if strings.Contains(string(result), "left after purge") {
		t.Error("something is left after dpkg -P")
	}
	if t.Failed() {
		t.Logf("what was seen:\n%s", result)
	}
}

// run runs a command that must succeed.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
