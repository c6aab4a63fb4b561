package test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
)

// TestNATSLossless: what vw-nats pub reads, vw-nats sub writes, through JetStream, whether sub is there or comes later,
// and a second sub of the same name goes on where the first has ended.
func TestNATSLossless(t *testing.T) {
	t.Parallel()
	c := startNATS(t, 1, "")
	ts := read(t, sample("h264.ts"))
	args := []string{"--server", c.urls(), "--retain", "CAM"}
	first := start(t, wiring{stdin: bytes.NewReader(ts)}, "vw-nats",
		append(append([]string{"pub", "--create"}, args...), "cam.1")...)
	first.expect(0)
	first.all(int64(len(ts)))

	one, file := startSub(t, append(args, "--durable", "d", "cam.1")...)
	grows(t, file, int64(len(ts)))
	one.signal(syscall.SIGTERM)
	one.expect(0)
	one.all(int64(len(ts)))
	same(t, "the first sub", read(t, file), ts)

	// Raw bytes, in messages shorter than what is read at once.
	raw := bytes.Repeat([]byte("no packets "), 100_000)
	second := start(t, wiring{stdin: bytes.NewReader(raw)}, "vw-nats", append(append([]string{"pub", "--max-message",
		"10KB"}, args...), "cam.1")...)
	second.expect(0)
	second.all(int64(len(raw)))
	two, file := startSub(t, append(args, "--durable", "d", "cam.1")...)
	grows(t, file, int64(len(raw)))
	two.signal(syscall.SIGTERM)
	two.expect(0)
	same(t, "the second sub", read(t, file), raw)
}

// TestNATSRefusals: what waiting does not cure ends vw-nats pub at once, with status 1, and is never confirmed.
func TestNATSRefusals(t *testing.T) {
	t.Parallel()
	const users = `accounts { A { jetstream: enabled, users: [
		{ user: all, password: pw },
		{ user: other, password: pw, permissions { publish: ["other"], subscribe: ["_INBOX.>"] } } ] },
		B { users: [ { user: bare, password: pw } ] } }`
	c := startNATS(t, 1, users)
	ts := read(t, sample("mpeg1.ts"))
	as := func(user string) string { return strings.Replace(c.urls(), "://", "://"+user+":pw@", 1) }
	for _, test := range []struct{ name, user, args, want string }{
		{"no stream", "all", "", `error: no JetStream stream holds cam.none.*\n.*hint: create it`},
		{"no JetStream", "bare", "", `error: .*JetStream`},
		{"not allowed", "other", "", `(?i)error: .*permissions violation.*cam.none`},
		{"not allowed, live", "other", "--live", `(?i)error: .*permissions violation.*cam.none`},
		{"full", "all", "--create --retain FULL --keep-size 100KiB --max-message 10KiB",
			`error: the stream is full: .*maximum bytes.*\n.*hint: make room`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"pub", "--server", as(test.user)}, strings.Fields(test.args)...)
			subject := "cam.none"
			if test.name == "full" {
				subject = "cam.full" // for the others no stream holds theirs
			}
			p := start(t, wiring{stdin: bytes.NewReader(ts)}, "vw-nats", append(args, subject)...)
			p.expect(1)
			if !regexp.MustCompile(test.want).MatchString(p.stderr.String()) {
				t.Errorf("no %q in:\n%s", test.want, p.stderr)
			}
			if out := p.account().Out[0]; out.Confirmed > 100<<10 || test.name != "full" && out.Confirmed > 0 {
				t.Errorf("confirmed: %+v", out)
			}
		})
	}
	t.Run("nothing to subscribe to", func(t *testing.T) {
		t.Parallel()
		sub, _ := startSub(t, "--durable", "d", "--server", as("all"), "cam.none")
		sub.expect(1)
		sub.find(sub.stderr, `error: no JetStream stream holds cam.none.*\n.*hint: create it`)
	})
	t.Run("live, and nothing retains it", func(t *testing.T) {
		t.Parallel()
		p := start(t, wiring{stdin: bytes.NewReader(ts)}, "vw-nats", "pub", "--live", "--server", as("all"), "--retain",
			"NONE", "cam.none")
		p.expect(0)
		p.find(p.stderr, `level=WARN.*no stream for the current group.*stream not found.*hint="create it`)
	})
	t.Run("wrong password", func(t *testing.T) {
		t.Parallel()
		p := start(t, wiring{stdin: bytes.NewReader(ts)}, "vw-nats", "pub", "--server", as("nobody"), "cam.none")
		p.find(p.stderr, `(?i)no connection.*authorization violation.*hint=.*--creds`)
		p.signal(syscall.SIGTERM)
		p.signal(syscall.SIGHUP)
		p.expect(1)
	})
}

// TestNATSShortMessages: where the server takes only short messages, vw-nats pub sends short ones.
func TestNATSShortMessages(t *testing.T) {
	t.Parallel()
	c := startNATS(t, 1, "max_payload: 2KB")
	ts := read(t, sample("mpeg1.ts"))
	args := []string{"--server", c.urls(), "--retain", "CAM"}
	p := start(t, wiring{stdin: bytes.NewReader(ts)}, "vw-nats", append(append([]string{"pub", "--create"}, args...),
		"cam")...)
	p.expect(0)
	sub, file := startSub(t, append(args, "--durable", "d", "cam")...)
	grows(t, file, int64(len(ts)))
	sub.signal(syscall.SIGTERM)
	sub.expect(0)
	same(t, "sub", read(t, file), ts)
}

// TestNATSLive: a sub begins at once with what is retained, with PAT, PMT and a keyframe, and goes over to live without
// a seam, at whatever moment it joins.
func TestNATSLive(t *testing.T) {
	t.Parallel()
	c := startNATS(t, 1, "")
	ts := longSample(t, "mpeg1.ts", 3)
	r, w := pipe(t)
	feed := newFeeder(t, w, frameTime, byFrame(ts))
	args := []string{"--live", "--server", c.urls(), "--retain", "CAM"}
	pub := start(t, wiring{stdin: r}, "vw-nats", append(append([]string{"pub", "--create"}, args...), "cam")...)
	r.Close()
	pub.find(pub.stderr, "JetStream stream created")
	type joined struct {
		*process
		file string
	}
	var joins []joined
	n := setting(t, "VW_TEST_JOINS", 5)
	for i := range n {
		size := len(ts) * (i + 1) / (n + 2)
		testwait.Eventually(t, "the next join", func() bool {
			feed.mu.Lock()
			defer feed.mu.Unlock()
			return len(feed.stream) > size || len(feed.stream) == len(ts)
		})
		at := time.Now()
		p, file := startSub(t, append(args, "cam")...)
		grows(t, file, 1) // with what is retained, or with the next group
		t.Logf("the first byte %v after the start of the program", since(at))
		joins = append(joins, joined{p, file})
	}
	pub.expect(0)
	pub.all(int64(len(ts)))
	p, file := startSub(t, append(args, "cam")...) // nothing comes any more: all it gets is retained
	joins = append(joins, joined{p, file})
	for _, j := range joins {
		// All of it ends with the same bytes.
		testwait.Eventually(t, "the end", func() bool {
			b, err := os.ReadFile(j.file)
			return err == nil && bytes.HasSuffix(b, ts[len(ts)-100*188:])
		})
		j.signal(syscall.SIGTERM)
		j.expect(0)
		b := read(t, j.file)
		for range 4 { // tables that a keyframe does not have in front of it
			if bytes.HasSuffix(ts, b) || len(b) <= mpegts.PacketSize {
				break
			}
			b = b[mpegts.PacketSize:]
		}
		same(t, "from the join on", b, ts[len(ts)-len(b):])
		startsWithKeyframe(t, j.file)
		decodes(t, j.file)
	}
}
