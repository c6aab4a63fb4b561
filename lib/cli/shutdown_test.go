package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func signalSelf(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		t.Fatal(err)
	}
}

func TestShutdownReloads(t *testing.T) {
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
		t.Error("the first signal ended Immediate")
	}
	if got, want := context.Cause(stop.Graceful()), (Signalled{syscall.SIGINT}); got != want {
		t.Errorf("cause of Graceful: got %v, want %v", got, want)
	}

	signalSelf(t, syscall.SIGTERM)
	<-stop.Immediate().Done()
	if got, want := context.Cause(stop.Immediate()), (Signalled{syscall.SIGTERM}); !errors.Is(got, want) {
		t.Errorf("cause of Immediate: got %v, want it to be %v", got, want)
	}
}

func TestShutdownProcess(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		wrapper             string
		first, second       syscall.Signal
		graceful, immediate string
	}{
		"terminated, interrupted": {first: syscall.SIGTERM, second: syscall.SIGINT,
			graceful: "received SIGTERM", immediate: "told twice to stop: received SIGINT"},
		"hung up, terminated": {first: syscall.SIGHUP, second: syscall.SIGTERM,
			graceful: "received SIGHUP", immediate: "told twice to stop: received SIGTERM"},
		"in the background of a script": {wrapper: `trap "" INT; exec "$0" "$@"`,
			first: syscall.SIGINT, second: syscall.SIGTERM,
			graceful: "received SIGINT", immediate: "told twice to stop: received SIGTERM"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if signal.Ignored(tc.first) {
				t.Skipf("SKIPPED: %v is ignored here, as under nohup, and so in the helper", tc.first)
			}
			h := command(t, "stop", tc.wrapper)
			h.start()
			h.expect("ready")
			h.Process.Signal(tc.first)
			h.expect(tc.graceful)
			h.Process.Signal(tc.second)
			h.result(ExitFailed, "", "vw-helper: error: "+tc.immediate+"\n")
		})
	}
}

func TestShutdownUnderNohup(t *testing.T) {
	t.Parallel()
	h := command(t, "stop", `trap "" HUP; exec "$0" "$@"`)
	h.start()
	h.expect("ready")
	h.Process.Signal(syscall.SIGHUP)
	h.Process.Signal(syscall.SIGTERM)
	h.expect("received SIGTERM")
	h.Process.Signal(syscall.SIGINT)
	h.result(ExitFailed, "", "vw-helper: error: told twice to stop: received SIGINT\n")
}

// Two signals of one kind within 200 ms are one request.
func TestShutdownTakesARepeatForOneRequest(t *testing.T) {
	type sent struct {
		after time.Duration
		sig   syscall.Signal
	}
	for name, tc := range map[string]struct {
		signals   []sent
		immediate bool
	}{
		"at once":     {[]sent{{0, syscall.SIGTERM}, {0, syscall.SIGTERM}, {0, syscall.SIGTERM}}, false},
		"just within": {[]sent{{0, syscall.SIGINT}, {sameRequest - 1, syscall.SIGINT}}, false},
		"just after":  {[]sent{{0, syscall.SIGTERM}, {sameRequest, syscall.SIGTERM}}, true},
		"again and again": {[]sent{{0, syscall.SIGTERM}, {sameRequest / 2, syscall.SIGTERM},
			{sameRequest / 2, syscall.SIGTERM}}, true},
		"another one at once":     {[]sent{{0, syscall.SIGTERM}, {0, syscall.SIGINT}}, true},
		"hung up, and terminated": {[]sent{{0, syscall.SIGHUP}, {0, syscall.SIGTERM}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShutdown()
				go s.listen(nil)
				defer s.Close()
				for _, one := range tc.signals {
					time.Sleep(one.after)
					s.signals <- one.sig
					synctest.Wait()
				}
				if s.Graceful().Err() == nil || (s.Immediate().Err() != nil) != tc.immediate {
					t.Errorf("graceful %v, immediate %v", s.Graceful().Err(), s.Immediate().Err())
				}
			})
		})
	}
}
