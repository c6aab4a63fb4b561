package test

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// namespace is a network namespace, for processes that start puts into it. It has no name and no file: it lives as long
// as a process in it. The one that holds it ends with its standard input, and the others are killed when the test
// binary dies. So nothing is left, however the test ends.
type namespace struct {
	t   testing.TB
	pid string // of the process that holds it
}

// newNamespaces makes namespaces, each with a loopback device, or skips the test.
func newNamespaces(t testing.TB, n int) []*namespace {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: not root: network namespaces cannot be made")
	}
	for _, name := range []string{"ip", "unshare", "nsenter", "setpriv"} {
		tool(t, name)
	}
	if out, err := exec.Command("unshare", "-n", "true").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: this machine allows no network namespaces: %v: %s", err, out)
	}
	var all []*namespace
	for range n {
		hold := exec.Command("unshare", "-n", "cat")
		in, err := hold.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := hold.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := hold.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			in.Close()
			_ = hold.Wait()
		})
		// When cat answers, unshare has done its work.
		if _, err := in.Write([]byte{'\n'}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		ns := &namespace{t: t, pid: fmt.Sprint(hold.Process.Pid)}
		ns.ip("link set lo up")
		all = append(all, ns)
	}
	return all
}

// ip runs a command of iproute2 in the namespace.
func (ns *namespace) ip(args string) {
	ns.t.Helper()
	out, err := exec.Command("nsenter", append([]string{"-t", ns.pid, "-n", "ip"},
		strings.Fields(args)...)...).CombinedOutput()
	if err != nil {
		ns.t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// join lays a cable between two namespaces. At its ends are devices of the given name, with one address each
// (10.0.0.1/24).
func join(a, b *namespace, device, addrA, addrB string) {
	a.t.Helper()
	a.ip(fmt.Sprintf("link add %s type veth peer name %s netns %s", device, device, b.pid))
	a.ip("address add " + addrA + " dev " + device)
	b.ip("address add " + addrB + " dev " + device)
	a.ip("link set " + device + " up")
	b.ip("link set " + device + " up")
}

// start runs a program in the namespace, with variables (A=1) added to its environment.
func (ns *namespace) start(w wiring, env []string, name string, args ...string) *process {
	ns.t.Helper()
	ledger := ""
	if name == "vw-push" {
		ledger = filepath.Join(ns.t.TempDir(), "ledger.json")
		args = append([]string{"--ledger", ledger}, args...)
	}
	// Each of them becomes the next one: the process is the program's.
	command := append([]string{"-t", ns.pid, "-n", "setpriv", "--pdeathsig", "KILL", "env"}, env...)
	p := start(ns.t, w, "nsenter", append(append(command, tool(ns.t, name)), args...)...)
	p.name, p.ledger = name, ledger
	return p
}

// serve starts a vw-testserver in the namespace, at an address without a port.
func (ns *namespace) serve(addr string, args ...string) *server {
	ns.t.Helper()
	s := &server{save: ns.t.TempDir()}
	args = append([]string{"--save", s.save, "--timeout", testTimeout.String(), "--listen", addr + ":0"}, args...)
	s.process = ns.start(wiring{}, nil, "vw-testserver", args...)
	s.url = s.find(s.stdout, `"event":"listening","url":"([^"]+)"`)
	return s
}

// await waits until a process in the namespace listens at the proxy's address.
func (ns *namespace) await(proxy string) {
	ns.t.Helper()
	u, err := url.Parse(proxy)
	if err != nil {
		ns.t.Fatal(err)
	}
	script := fmt.Sprintf("until (exec 3<>/dev/tcp/%s/%s) 2>/dev/null; do sleep 0.02; done", u.Hostname(), u.Port())
	ns.start(wiring{}, nil, "bash", "-c", script).expect(0)
}
