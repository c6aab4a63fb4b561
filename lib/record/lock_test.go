package record

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
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
