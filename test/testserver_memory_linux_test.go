package test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
)

// TestIdleMemory: an idle connection costs vw-testserver less than 64 KiB of the process's memory, in the worst case
// too: with TLS, whose buffer has grown to a record of 16 KiB, and with all checks.
func TestIdleMemory(t *testing.T) {
	const connections = 600
	// The race detector needs many times the memory.
	name := filepath.Join(t.TempDir(), "vw-testserver")
	if out, err := exec.Command("go", "build", "-o", name, "../cmd/vw-testserver").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file := sample("mpeg1.ts")
	stream := read(t, file)[:30*7*188]
	checks := []string{"--expect-clean", "--expect-file", file, "--expect-subset", file, "--expect-bytes", ">=1",
		"--expect-messages", ">=1", "--expect-frames", ">=1", "--expect-max-gap", "1h", "--expect-conns", ">=1",
		"--expect-sha256", strings.Repeat("0", 64), "--expect-path", "/*", "--expect-header", "Upgrade: websocket"}
	for _, c := range []struct {
		name         string
		tls, checked bool
		message      int // bytes
		limit        int // KiB for each connection
	}{
		{"ws", false, false, 7 * 188, 40},
		{"ws, checked", false, true, 7 * 188, 40},
		{"wss", true, false, 7 * 188, 50},
		{"wss, checked", true, true, 7 * 188, 50},
		{"wss, checked, long messages", true, true, len(stream), 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			var args []string
			var config *tls.Config
			ca := filepath.Join(t.TempDir(), "ca.pem")
			if c.checked {
				args = append(args, checks...)
			}
			if c.tls {
				args = append(args, "--tls", "--tls-ca", ca)
			}
			s := start(t, wiring{}, name, args...)
			url := s.find(s.stdout, `"event":"listening","url":"([^"]+)"`)
			if c.tls {
				config = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1"}
				config.RootCAs.AppendCertsFromPEM(read(t, ca))
			}
			// The first one brings into memory what the process needs but once.
			sendAndWait(t, url, "/cam0", config, stream, c.message)
			before := s.status("VmRSS")
			for i := range connections {
				sendAndWait(t, url, fmt.Sprintf("/cam%d", i+1), config, stream, c.message)
			}
			each := func() float64 { return float64(s.status("VmRSS")-before) / connections }
			t.Logf("%.1f KiB for each connection, with what handshakes leave behind", each())
			testwait.Eventually(t, fmt.Sprint(c.limit, " KiB at most for each idle connection"), func() bool {
				return each() <= float64(c.limit)
			})
			t.Logf("%.1f KiB for each idle connection", each())
		})
	}
}

// sendAndWait opens a connection, sends the stream in messages, and returns when all has been read: when a ping is
// answered. The connection stays open until the test ends.
func sendAndWait(t *testing.T, url, path string, config *tls.Config, stream []byte, message int) {
	t.Helper()
	_, host, _ := strings.Cut(url, "://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(testTimeout))
	if config != nil {
		conn = tls.Client(conn, config)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path, host)
	r := bufio.NewReader(conn)
	answer, err := http.ReadResponse(r, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v %v", answer, err)
	}
	for len(stream) > 0 {
		head := append(binary.BigEndian.AppendUint64([]byte{0x82, 0xFF}, uint64(message)), 0, 0, 0, 0)
		conn.Write(append(head, stream[:message]...))
		stream = stream[message:]
	}
	conn.Write([]byte{0x89, 0x80, 0, 0, 0, 0})
	if _, err := io.ReadFull(r, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
}
