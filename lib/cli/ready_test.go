package cli

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/timdrysdale/vw/lib/stream"
)

func TestNotifyReady(t *testing.T) {
	NotifyReady() // no socket
	name := filepath.Join(t.TempDir(), "s")
	t.Setenv("NOTIFY_SOCKET", name)
	NotifyReady() // no listener
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	NotifyReady()
	var text [16]byte
	if n, err := conn.Read(text[:]); string(text[:n]) != "READY=1" {
		t.Errorf("%q, %v", text[:n], err)
	}
}

func TestLedgerAsMetrics(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cam1.prom")
	f, err := openLedgerFile(name)
	if err != nil {
		t.Fatal(err)
	}
	ledger := stream.NewLedger("vw-test")
	ledger.Open("stdout")
	if err := f.write(ledger.Snapshot(true)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line[0] != '#' && !strings.Contains(line, `{file="cam1.prom"`) {
			t.Errorf("without the label: %s", line)
		}
	}
	if !strings.Contains(string(text), `vw_output_held_bytes{file="cam1.prom",to="stdout"} 0`) {
		t.Errorf("metrics:\n%s", text)
	}
}
