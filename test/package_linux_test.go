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
// its members are killed, it is stopped, upgraded, removed and purged. testdata/package/boot.sh says how.
func TestPackage(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can boot a machine in a container")
	}
	for _, name := range []string{"mmdebstrap", "systemd-nspawn", "dpkg"} {
		tool(t, name)
	}
	root := filepath.Join(t.TempDir(), "root")
	deb := debianPackage(t, "amd64")
	if _, err := exec.LookPath("lintian"); err == nil {
		run(t, "lintian", "--allow-root", "--fail-on", "error", deb)
	}
	run(t, "mmdebstrap", "--quiet", "--variant=minbase",
		"--include=systemd,systemd-sysv,dbus,bash,ca-certificates,procps,curl,man-db",
		"bookworm", root)
	files := installed(t, root)
	stream := read(t, sample("mpeg1.ts"))
	writePage(t, filepath.Join(root, "root/page"))
	for name, content := range map[string][]byte{
		"root/boot.sh":   read(t, sample("package/boot.sh")),
		"root/first.deb": read(t, deb),
		"root/stream.ts": stream,
		"root/vw.deb":    newerPackage(t, deb),
		"etc/systemd/system/boot-test.service": []byte("[Unit]\nAfter=multi-user.target\n" +
			"SuccessAction=exit\nFailureAction=exit\n[Service]\nType=oneshot\n" +
			"ExecStart=/bin/bash /root/boot.sh\nTimeoutStartSec=600\n"),
	} {
		if err := os.WriteFile(filepath.Join(root, name), content, 0o644); err != nil {
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
	seen := string(result)
	for _, want := range []string{
		"the page's service runs: yes", "the page's service: 204", "the page's service has ended: yes",
		"PrivateDevices=no", "enabled: yes", "exposure below 2.0: yes", "manual page in LC_ALL=C: yes",
		"published: 204", "refused: 401", "page: 200",
		"idle, vw-push: back within 5 s", "idle, vw-record: back within 5 s", "idle, vw-ingest: back within 5 s",
		"feeding, vw-push: back within 5 s", "feeding, vw-record: back within 5 s",
		"feeding, vw-ingest: back within 5 s",
		"Result=success", "ExecMainStatus=0", "stopped while feeding: Result=success", "told twice: 0",
		fmt.Sprintf("received: %d", len(stream)), fmt.Sprintf("recorded: %d", len(stream)),
		"socket, without a token: 204",
		"upgraded: 0.0.2-1", "new tools run: yes", "configuration kept at upgrade: yes",
		"stopped at removal: yes", "configuration kept at removal: yes",
	} {
		if !strings.Contains(seen, want+"\n") {
			t.Errorf("not seen in the machine: %q", want)
		}
	}
	seams(t, filepath.Join(root, "root", "seams"), stream)
	nothingLost(t, filepath.Join(root, "root", "ledgers"))
	for name := range installed(t, root) {
		if !files[name] && strings.Contains(name, "vw") {
			t.Errorf("left after purge: %s", name)
		}
	}
	t.Logf("what was seen:\n%s", seen)
}

// writePage writes the commands of the page about services into a folder, a script for each.
func writePage(t *testing.T, folder string) {
	t.Helper()
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for i, command := range commands(firstScreen(string(read(t, "../docs/service.md")))) {
		command = strings.NewReplacer("sudo ", "", "vw_1.2.3-1_arm64.deb", "/root/first.deb",
			"journalctl -u vw@relay -f", "journalctl -u vw@relay").Replace(command)
		if err := os.WriteFile(fmt.Sprint(folder, "/", i, ".sh"), []byte(command), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// seams checks recordings during which members of the pipeline were killed, while the same stream was published again
// and again: within a file nothing is missing.
func seams(t *testing.T, folder string, stream []byte) {
	t.Helper()
	files := recorded(t, folder)
	if len(files) < 4 { // before, between and after three kills
		t.Errorf("%d recordings: %q", len(files), files)
	}
	for _, file := range files {
		b := read(t, file)
		n := 0
		for n < len(b) && strings.HasPrefix(string(stream), string(b[n:min(len(b), n+len(stream))])) {
			n += len(stream)
		}
		if len(b) == 0 || n < len(b) {
			t.Errorf("%s, %d bytes: what begins at %d is not the stream from its beginning", file, len(b), n)
		}
	}
}

// nothingLost checks the ledgers of a pipeline that was stopped while a publisher sent: each tool delivered what it had
// from the one before. Only the part of a packet with which the publisher was cut off may be missing.
func nothingLost(t *testing.T, folder string) {
	t.Helper()
	delivered := int64(-1)
	for _, name := range []string{"ingest", "record", "push"} {
		s, ok := readLedger(t, filepath.Join(folder, name+".json"), "vw-"+name)
		if !ok || s.Ended == nil || s.In.Bytes == 0 {
			t.Errorf("vw-%s was stopped while feeding, and left %+v", name, s)
			continue
		}
		if delivered >= 0 && s.In.Bytes != delivered {
			t.Errorf("vw-%s had %d bytes of %d", name, s.In.Bytes, delivered)
		}
		for _, c := range s.Out {
			if c.To != "viewers" && c.Confirmed+c.Dropped.Torn != s.In.Bytes {
				t.Errorf("vw-%s was stopped while feeding: %+v", name, c)
			}
			delivered = c.Confirmed
		}
	}
}

// installed are the names of all files in a root, but of what a machine makes of itself when it runs.
func installed(t *testing.T, root string) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		name := strings.TrimPrefix(path, root)
		switch name {
		case "/proc", "/sys", "/run", "/dev", "/tmp", "/root", "/var/log", "/var/tmp", "/var/cache":
			return filepath.SkipDir
		}
		names[name] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// newerPackage is the same package with a higher version.
func newerPackage(t *testing.T, deb string) []byte {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "deb")
	run(t, "dpkg-deb", "--raw-extract", deb, folder)
	control := filepath.Join(folder, "DEBIAN", "control")
	text := strings.Replace(string(read(t, control)), "\nVersion: 0.0.1-1\n", "\nVersion: 0.0.2-1\n", 1)
	if err := os.WriteFile(control, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(t.TempDir(), "newer.deb")
	run(t, "dpkg-deb", "--root-owner-group", "-Znone", "--build", folder, newer)
	return read(t, newer)
}

// debianPackage is the package for a kind of machine: from VW_TEST_RELEASE, where scripts/test has made one of each, or
// made here.
func debianPackage(t *testing.T, arch string) string {
	t.Helper()
	folder := os.Getenv("VW_TEST_RELEASE")
	if folder == "" {
		folder = t.TempDir()
		run(t, "../scripts/release", "0.0.1", "--snapshot", "--only", arch, "--into", folder)
	}
	return filepath.Join(folder, "vw_0.0.1-1_"+arch+".deb")
}

// run runs a command that must succeed.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
