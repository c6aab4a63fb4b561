package natspipe

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

// startServer starts a nats-server with JetStream and more of a configuration, and returns its URL.
func startServer(t *testing.T, config string) string {
	t.Helper()
	program, err := filepath.Abs("../../test/nats/nats-server")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("SKIPPED: no nats-server below test/nats (scripts/test installs it)")
	}
	file := filepath.Join(t.TempDir(), "node.conf")
	config = fmt.Sprintf("listen: 127.0.0.1:-1\njetstream { store_dir: %q }\n%s", t.TempDir(), config)
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", file)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(stderr)
	address := ""
	for lines.Scan() {
		listening := regexp.MustCompile(`Listening for client connections on (\S+)`)
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			address = m[1]
		}
		if strings.Contains(lines.Text(), "Server is ready") {
			return "nats://" + address
		}
	}
	t.Fatal("the server did not start")
	return ""
}

type quietLog struct{}

func (quietLog) Info(string, string, ...any) {}
func (quietLog) Warn(string, string, ...any) {}

func options(url string) Options {
	return Options{
		Servers: []string{url}, Subject: "cam", Retain: "CAM", Create: true, Replicas: 1, DialTimeout: time.Minute,
		DeadAfter: time.Minute, BackoffMin: time.Millisecond, BackoffMax: time.Second, Linger: time.Minute,
		MaxMessage: 256 << 10, Buffer: 1 << 20, Ledger: stream.NewLedger("test"), Log: quietLog{},
	}
}

// TestDuplicateID: a stream that says that it has a message already, when that is sent for the first time, has not
// stored it: nothing is confirmed, and the run ends.
func TestDuplicateID(t *testing.T) {
	url := startServer(t, "")
	for i := range 2 {
		p, err := NewPublisher(options(url))
		if err != nil {
			t.Fatal(err)
		}
		p.id = "same"
		err = p.Run(context.Background(), context.Background(), strings.NewReader(fmt.Sprintf("bytes of run %d", i)))
		counts := p.account.Counts()
		switch {
		case i == 0 && (err != nil || counts.Confirmed != counts.In):
			t.Errorf("the first run: %v, %+v", err, counts)
		case i == 1 && (err == nil || !strings.Contains(err.Error(), "has not stored this one") ||
			counts.Confirmed > 0):
			t.Errorf("the second run: %v, %+v", err, counts)
		}
	}
}

// TestNotCreated: without a server, a publisher that is to create a JetStream stream fails, though there is nothing to
// carry.
func TestNotCreated(t *testing.T) {
	t.Parallel()
	o := options("nats://127.0.0.1:1")
	o.Live, o.Linger = true, time.Millisecond
	p, err := NewPublisher(o)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Run(context.Background(), context.Background(), strings.NewReader(""))
	if err == nil || !strings.Contains(err.Error(), "CAM was not created") {
		t.Error(err)
	}
}
