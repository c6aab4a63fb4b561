package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// named is two machines, on one of which /etc/hosts is the test's own. What is sent to 10.82.2.128/28 and
// 2001:db8:83::/64 is lost without an answer.
type named struct {
	camera, machine *namespace
	hosts           string
}

func newNamed(t *testing.T) *named {
	t.Helper()
	ns := newNamespaces(t, 2)
	n := &named{camera: ns[0], machine: ns[1], hosts: filepath.Join(t.TempDir(), "hosts")}
	join(n.camera, n.machine, "cable", "10.82.2.1/24", "10.82.2.2/24")
	n.machine.ip("address add 10.82.2.200/24 dev cable")
	n.camera.ip("address add 2001:db8:82::1/64 dev cable nodad")
	n.machine.ip("address add 2001:db8:82::2/64 dev cable nodad")
	n.camera.ip("route add 10.82.2.128/28 via 10.82.2.2")
	n.camera.ip("-6 route add 2001:db8:83::/64 via 2001:db8:82::2")
	// A machine that forwards nothing would drop it in silence; one that does would answer that there is no way.
	n.machine.ip("route add blackhole 10.82.2.128/28")
	n.machine.ip("-6 route add blackhole 2001:db8:83::/64")
	return n
}

// setHosts makes relay.test have these addresses, by editing the file in place.
func (n *named) setHosts(addrs ...string) {
	n.camera.t.Helper()
	text := "127.0.0.1 localhost\n" + strings.Join(addrs, " relay.test\n") + " relay.test\n"
	if err := os.WriteFile(n.hosts, []byte(text), 0o644); err != nil {
		n.camera.t.Fatal(err)
	}
}

// push starts a vw-push that finds names in the test's own file.
func (n *named) push(stdin string, args ...string) *process {
	n.camera.t.Helper()
	t := n.camera.t
	ledger := filepath.Join(t.TempDir(), "ledger.json")
	in := t.TempDir() + "/in"
	if err := os.WriteFile(in, []byte(stdin), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := n.camera.start(wiring{stdin: f}, nil, "unshare", append([]string{"-m", "sh", "-c",
		`mount --bind "$0" /etc/hosts && exec "$@"`, n.hosts, tool(t, "vw-push"), "--ledger", ledger, "--format",
		"raw"},
		args...)...)
	p.name, p.ledger = "vw-push", ledger
	return p
}

// TestDeadAddressFirst: of the addresses of a name, the first eight are dead. The one that is not is found at once, and
// not after each of the others has had its part of --dial-timeout, which would be over by then.
func TestDeadAddressFirst(t *testing.T) {
	t.Parallel()
	n := newNamed(t)
	// The nearest address goes first, by RFC 6724: the dead ones are as near as the other.
	n.setHosts("2001:db8:83::1", "2001:db8:83::2", "10.82.2.129", "10.82.2.130", "10.82.2.131", "10.82.2.132",
		"10.82.2.133", "10.82.2.134", "10.82.2.200")
	s := n.machine.serve("10.82.2.200")
	p := n.push("stream", "--dial-timeout", "8s", strings.Replace(s.url, "10.82.2.200", "relay.test", 1))
	p.expect(0)
	p.all(6)
	if strings.Contains(p.stderr.String(), "no connection") {
		t.Errorf("not found at once:\n%s", p.stderr)
	}
}

// TestIPv6First: where a name has both, IPv6 comes first, and IPv4 where that refuses.
func TestIPv6First(t *testing.T) {
	t.Parallel()
	n := newNamed(t)
	n.setHosts("10.82.2.2", "2001:db8:82::2")
	both := n.machine.serve("") // on all addresses
	port := both.url[strings.LastIndexByte(both.url, ':')+1:]
	n.push("stream", "ws://relay.test:"+port).expect(0)
	both.find(both.stdout, `"event":"connected".*"remote":"\[2001:db8:82::1\]`)
	only4 := n.machine.serve("10.82.2.2")
	p := n.push("stream", strings.Replace(only4.url, "10.82.2.2", "relay.test", 1))
	p.expect(0)
	only4.find(only4.stdout, `"event":"connected".*"remote":"10\.82\.2\.1:`)
	if strings.Contains(p.stderr.String(), "no connection") {
		t.Errorf("IPv4 was not tried at once:\n%s", p.stderr)
	}
}

// TestNameMoves: a server moves to another address while vw-push runs; the name is looked up before each dial.
func TestNameMoves(t *testing.T) {
	t.Parallel()
	n := newNamed(t)
	n.setHosts("10.82.2.2")
	before := n.machine.serve("10.82.2.2", "--fault", "do=reset")
	port := before.url[strings.LastIndexByte(before.url, ':')+1:]
	p := n.push("stream", "--backoff-min", "20ms", "--backoff-max", "200ms", "ws://relay.test:"+port)
	p.find(p.stderr, "connection lost")
	n.setHosts("10.82.2.200")
	after := n.machine.start(wiring{}, nil, "vw-testserver", "--save", t.TempDir(), "--listen", "10.82.2.200:"+port,
		"--conns", "1")
	p.expect(0)
	p.all(6)
	after.expect(0)
}
