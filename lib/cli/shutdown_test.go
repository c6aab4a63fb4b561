package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

func signalSelf(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		t.Fatal(err)
	}
}

func TestStopReloads(t *testing.T) {
	reloaded := make(chan struct{})
	stop := NotifyShutdown(func() { reloaded <- struct{}{} })
	defer stop.Close()
	for range 3 {
		signalSelf(t, syscall.SIGHUP)
		<-reloaded
	}
	if stop.Graceful().Err() != nil {
		t.Error("SIGHUP stopped a tool that has something to reload")
	}

	signalSelf(t, syscall.SIGINT)
	<-stop.Graceful().Done()
	if stop.Immediate().Err() != nil {
		t.Error("the first signal ended Hard")
	}
	if got, want := context.Cause(stop.Graceful()), (Signalled{syscall.SIGINT}); got != want {
		t.Errorf("cause of Soft: got %v, want %v", got, want)
	}

	signalSelf(t, syscall.SIGTERM)
	<-stop.Immediate().Done()
	if got, want := context.Cause(stop.Immediate()), (Signalled{syscall.SIGTERM}); !errors.Is(got, want) {
		t.Errorf("cause of Hard: got %v, want it to be %v", got, want)
	}
}

func TestStopProcess(t *testing.T) {
	for name, tc := range map[string]struct {
		wrapper       string
		first, second syscall.Signal
		soft, hard    string
	}{
		"interrupted twice": {first: syscall.SIGINT, second: syscall.SIGINT,
			soft: "received SIGINT", hard: "told twice to stop: received SIGINT"},
		"terminated, interrupted": {first: syscall.SIGTERM, second: syscall.SIGINT,
			soft: "received SIGTERM", hard: "told twice to stop: received SIGINT"},
		"hung up, terminated": {first: syscall.SIGHUP, second: syscall.SIGTERM,
			soft: "received SIGHUP", hard: "told twice to stop: received SIGTERM"},
		"in the background of a script": {wrapper: `trap "" INT; exec "$0" "$@"`, first: syscall.SIGINT, second: syscall.SIGINT,
			soft: "received SIGINT", hard: "told twice to stop: received SIGINT"},
	} {
		t.Run(name, func(t *testing.T) {
			if signal.Ignored(tc.first) {
				t.Skipf("%v is ignored here, as under nohup, and so in the helper", tc.first)
			}
			h := command(t, "stop", tc.wrapper)
			h.start()
			h.expect("ready")
			h.Process.Signal(tc.first)
			h.expect(tc.soft)
			h.Process.Signal(tc.second)
			h.result(ExitFailed, "", "vw-helper: error: "+tc.hard+"\n")
		})
	}
}

func TestStopUnderNohup(t *testing.T) {
	h := command(t, "stop", `trap "" HUP; exec "$0" "$@"`)
	h.start()
	h.expect("ready")
	h.Process.Signal(syscall.SIGHUP)
	h.Process.Signal(syscall.SIGTERM)
	h.expect("received SIGTERM")
	h.Process.Signal(syscall.SIGTERM)
	h.result(ExitFailed, "", "vw-helper: error: told twice to stop: received SIGTERM\n")
}
