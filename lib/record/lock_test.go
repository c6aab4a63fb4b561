package record

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLockOutlastsFork: a child process that is being started shares the lock of a file that has just been closed. That
// is no other recorder.
func TestLockOutlastsFork(t *testing.T) {
	program, err := exec.LookPath("true")
	if err != nil {
		t.Skip("SKIPPED: there is no true(1)")
	}
	path := filepath.Join(folder(t), "cam.ts")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	locked := func() {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := lockFinished(f, path); err != nil {
			t.Fatal(err)
		}
	}
	for range 30 {
		started := make(chan error)
		go func() { started <- exec.Command(program).Run() }()
		for isOver := false; !isOver; {
			locked()
			select {
			case err := <-started:
				if err != nil {
					t.Fatal(err)
				}
				isOver = true
			default:
			}
		}
	}
}

// TestLockIsHeld: a lock that lasts is another recorder's.
func TestLockIsHeld(t *testing.T) {
	t.Parallel()
	path := filepath.Join(folder(t), "cam.ts")
	other, err := osDisk{}.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := lockFinished(f, path); !errors.Is(err, errInUse) {
		t.Fatalf("%v, want %v", err, errInUse)
	}
}

// TestOneRecorderWithExec: a second recorder with --exec on one manifest is refused, until the first has ended; one
// without --exec is not.
func TestOneRecorderWithExec(t *testing.T) {
	dir := folder(t)
	prepare := func(exec string) *trial {
		tr := newTrialIn(t, dir, bytes.NewReader(nil), Limits{})
		tr.config.Exec = exec
		return tr
	}
	first := prepare("true")
	first.open()
	second := prepare("true")
	_, err := newRecording(second.config, second.disk)
	if err == nil || !strings.Contains(err.Error(), "another recorder") {
		t.Fatalf("the second: %v", err)
	}
	if err := prepare("").run(); err != nil {
		t.Error(err)
	}
	if err := first.run(); err != nil {
		t.Error(err)
	}
	if err := second.run(); err != nil {
		t.Error(err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, ".*")); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

// TestExecAfterAKill: the lock of a recorder that was killed holds nobody up.
func TestExecAfterAKill(t *testing.T) {
	tr := newTrial(t, bytes.NewReader(nil), Limits{})
	tr.config.Exec = "true"
	m := manifest{path: tr.config.Manifest}
	if err := os.WriteFile(m.claimPath(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tr.run(); err != nil {
		t.Error(err)
	}
}
