package testserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/wsconn"
)

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func TestReport(t *testing.T) {
	stream := sample(t, "mpeg1.ts")
	var events []string
	s := start(t, Options{
		Conns:       1,
		OnConnected: func(c Connected) { events = append(events, fmt.Sprint("connected ", c.ID, c.Path)) },
		OnClosed:    func(c Connection) { events = append(events, fmt.Sprint("closed ", c.ID, c.Path)) },
	})
	var messages [][]byte
	for rest := stream; len(rest) > 0; {
		n := min(1000, len(rest)) // packets are torn across messages
		messages = append(messages, rest[:n])
		rest = rest[n:]
	}
	publish(t, s.URL()+"/a%20b/cam1?secret=1", messages...)
	r := wait(t, s, nil)
	if !r.Passed || len(r.Connections) != 1 {
		t.Fatalf("report %+v", r)
	}
	c := r.Connections[0]
	if c.ID != 1 || c.Path != "/a%20b/cam1" || c.Messages != int64(len(messages)) || c.Bytes != int64(len(stream)) ||
		c.SHA256 != sum(stream) || c.Close != (Close{1000, "done"}) {
		t.Errorf("connection %+v", c)
	}
	if c.TS.Frames != 120 || c.TS.Keyframes != 10 || c.TS.SyncErrors != 0 || c.TS.ContinuityErrors != 0 ||
		!c.TS.StartsAtKeyframe {
		t.Errorf("ts %+v", c.TS)
	}
	if s := c.Sizes; s.Min != 660 || s.P50 != 1000 || s.Max != 1000 || c.BitRate <= 0 || c.TS.GOPMin != 12 ||
		c.TS.GOPMax != 12 {
		t.Errorf("sizes %+v, %d bits a second, GOP %d to %d", s, c.BitRate, c.TS.GOPMin, c.TS.GOPMax)
	}
	// ffmpeg has one stream type for both, that of MPEG-2.
	var codecs []string
	for _, s := range c.Streams {
		codecs = append(codecs, fmt.Sprintf("%#x %s", s.PID, s.Codec))
	}
	if got := strings.Join(codecs,
		", "); got != "0x0 PAT, 0x11 SDT, 0x100 MPEG-2 video, 0x101 MPEG-1 audio, 0x1000 PMT" {
		t.Errorf("streams %s", got)
	}
	// All came at once, PCRs for 40 and 80 ms each.
	if j := c.Jitter; j.P50 < 20_000 || j.P50 > j.P99 || j.P99 > j.P999 || j.P999 > j.Max {
		t.Errorf("jitter %+v", j)
	}
	if !r.Started.Equal(s.options.Start) {
		t.Errorf("started %v, not %v", r.Started, s.options.Start)
	}
	if i := c.Intervals; i.P50 > i.P90 || i.P90 > i.P99 || i.P99 > i.P999 || i.P999 > i.Max {
		t.Errorf("intervals %+v", i)
	}
	if c.Ended.Before(c.Started) || c.Started.Location() != time.UTC {
		t.Errorf("started %v, ended %v", c.Started, c.Ended)
	}
	if got := strings.Join(events, ", "); got != "connected 1/a%20b/cam1, closed 1/a%20b/cam1" {
		t.Errorf("events: %s", got)
	}
}

func TestExpectations(t *testing.T) {
	stream := sample(t, "h264.ts")
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	flipped := bytes.Clone(stream)
	flipped[1000] ^= 0xFF
	mustFile := func(path, name string) Expectation {
		e, err := ExpectFile(path, name)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	mustSum := func(path, s string) Expectation {
		e, err := ExpectSHA256(path, s)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	n := int64(len(stream))
	cases := []struct {
		expect Expectation
		detail string // "" when it holds
	}{
		{mustFile("", file("same", stream)), ""},
		{mustFile("/cam1", file("same", stream)), ""},
		{mustFile("", file("flipped", flipped)),
			"at byte 1000 (packet 5, PID 0x0100): 0x68 instead of 0x97; 2 of 2 connections failed\n  expected " +
				"000003e0  6b 61"},
		{mustFile("", file("short", stream[:n-1])), fmt.Sprintf("goes on after all %d bytes", n-1)},
		{mustFile("", file("long", append(stream[:n:n], 1))), fmt.Sprintf("ends after %d of the %d bytes", n, n+1)},
		{mustFile("", file("empty", nil)), "goes on after all 0 bytes"},
		{mustFile("/other", file("same", stream)), "no connection came with the path /other"},
		{mustSum("", strings.ToUpper(sum(stream))), ""},
		{mustSum("/cam1", sum(flipped)), "connection 1 (/cam1): the"},
		{mustSum("", sum(flipped)), "; 2 of 2 connections failed"},
		{ExpectBytes("", Exactly(n)), ""},
		{ExpectBytes("", AtLeast(n-1)), ""},
		{ExpectBytes("", Exactly(n-1)), fmt.Sprintf("%d bytes came, not %d", n, n-1)},
		{ExpectBytes("", AtLeast(n+1)), "not at least"},
		{ExpectClean(""), ""},
	}
	o := Options{Conns: 2}
	for _, c := range cases {
		o.Expectations = append(o.Expectations, c.expect)
	}
	s := start(t, o)
	publish(t, s.URL()+"/cam1", stream[:100_000], stream[100_000:])
	publish(t, s.URL()+"/cam2", stream)
	r := wait(t, s, nil)
	if r.Passed {
		t.Error("the report says that it passed")
	}
	for i, c := range cases {
		v := r.Expectations[i]
		if v.OK != (c.detail == "") || !strings.Contains(v.Detail, c.detail) || v.OK != (v.Detail == "") {
			t.Errorf("%d %s: got %v %q, want %q", i, v.Name, v.OK, v.Detail, c.detail)
		}
	}
}

// TestImpossibleExpectations: an expectation that can never hold is refused.
func TestImpossibleExpectations(t *testing.T) {
	for _, digits := range []string{"", "1234", strings.Repeat("z", 64), strings.Repeat("0", 66)} {
		if _, err := ExpectSHA256("", digits); err == nil {
			t.Errorf("%q is accepted as a SHA-256", digits)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{dir, filepath.Join(dir, "missing")} {
		if _, err := ExpectFile("", name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExpectCleanFails(t *testing.T) {
	stream := sample(t, "mpeg1.ts")
	s := start(t, Options{Conns: 1, Expectations: []Expectation{ExpectClean("")}})
	publish(t, s.URL(), stream[:50*188], stream[51*188:])
	r := wait(t, s, nil)
	if v := r.Expectations[0]; v.OK || !strings.Contains(v.Detail, "at byte 9400 (packet 50, PID 0x0100)") {
		t.Errorf("verdict %+v", v)
	}
}

func TestNoConnection(t *testing.T) {
	s := start(t, Options{Timeout: time.Millisecond, Expectations: []Expectation{ExpectBytes("", AtLeast(0))}})
	r := wait(t, s, nil) // without a limit, a timeout is not a failure
	if r.Passed || r.TimedOut || r.Expectations[0].Detail != "no connection came" {
		t.Errorf("report %+v", r)
	}
}

func TestTimeout(t *testing.T) {
	s := start(t, Options{Timeout: 100 * time.Millisecond, Conns: 2})
	publish(t, s.URL(), []byte("x"))
	if r := wait(t, s, ErrTimeout); r.Passed || !r.TimedOut || len(r.Connections) != 1 {
		t.Errorf("report %+v", r)
	}
}

// TestBytes: the peer that sent the last byte may close its connection; another one gets close code 1001.
func TestBytes(t *testing.T) {
	s := start(t, Options{Bytes: 1000})
	other := dial(t, s.URL()+"/other", wsconn.DialOptions{})
	publish(t, s.URL(), make([]byte, 999), make([]byte, 1))
	r := wait(t, s, nil)
	if len(r.Connections) != 2 || r.Connections[0].Close != (Close{1001, reasonGoingAway}) ||
		r.Connections[1].Close.Code != 1000 {
		t.Errorf("connections %+v", r.Connections)
	}
	testwait.Closed(t, "the other connection has ended", other.Done())
	var frame *wsconn.CloseError
	if !errors.As(other.Err(), &frame) || frame.Code != 1001 {
		t.Errorf("the other one ended with %v", other.Err())
	}
}

func TestContextEnds(t *testing.T) {
	why := errors.New("enough")
	for name, linger := range map[string]time.Duration{"finishes": deadline, "does not finish": 0} {
		t.Run(name, func(t *testing.T) {
			connected := make(chan struct{})
			s := start(t, Options{Linger: linger, OnConnected: func(Connected) { close(connected) }})
			c := dial(t, s.URL(), wsconn.DialOptions{})
			<-connected
			ctx, cancel := context.WithCancelCause(context.Background())
			cancel(why)
			ended := make(chan Report)
			go func() {
				r, err := s.Wait(ctx)
				if err != why {
					t.Errorf("Wait: %v", err)
				}
				ended <- r
			}()
			want := Close{1001, reasonGoingAway}
			if linger > 0 {
				// The port is closed before the connection ends.
				for {
					probe, err := net.Dial("tcp", s.URL()[len("ws://"):])
					if err != nil {
						break
					}
					probe.Close()
				}
				want = Close{1000, "bye"}
				if err := c.Write(testContext(t), []byte("last")); err != nil {
					t.Fatal(err)
				}
				if err := c.Close(testContext(t), 1000, "bye"); err != nil {
					t.Fatal(err)
				}
			}
			if r := <-ended; !r.Passed || r.Connections[0].Close != want {
				t.Errorf("report %+v, want close %+v", r, want)
			}
		})
	}
}

// endAfter starts a server that begins to end when it has received so many bytes of what the peer sends.
func endAfter(t *testing.T, o Options, bytes int64, send []byte) (peer *net.TCPConn, ended <-chan Report) {
	t.Helper()
	s := start(t, o)
	conn := raw(t, s.URL())
	conn.Write(send)
	testwait.Eventually(t, "the bytes", func() bool { return s.bytes.Load() >= bytes })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	reports := make(chan Report, 1)
	go func() {
		r, _ := s.Wait(ctx)
		reports <- r
	}()
	return conn, reports
}

// TestDataBeforeCloseAnswer: what a peer sends before it answers the server's close frame is received and checked, also
// the rest of a message, and also with a slow reader.
func TestDataBeforeCloseAnswer(t *testing.T) {
	stream := sample(t, "mpeg1.ts")
	half := 400 * 188
	for name, faults := range map[string][]Fault{
		"no fault": nil,
		"a fault":  {{Do: Reset{}, AfterTime: time.Hour}},
		"slow":     {{Do: Slow{Rate: 4 << 10}, AfterBytes: blockSize}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, ended := endAfter(t, Options{Faults: faults, Expectations: []Expectation{ExpectClean("")}}, blockSize,
				append(frameHeader(len(stream)-half), stream[:blockSize+1000]...))
			if got := closeCode(t, conn); got != wsconn.StatusGoingAway {
				t.Errorf("the peer got close code %d", got)
			}
			conn.Write(stream[blockSize+1000 : len(stream)-half])
			conn.Write(append(frameHeader(half), stream[len(stream)-half:]...))
			conn.Write(closeWith(wsconn.StatusGoingAway, ""))
			r := <-ended
			if c := r.Connections[0]; !r.Passed || c.SHA256 != sum(stream) || c.Messages != 2 || c.Torn != 0 ||
				c.Close.Code != wsconn.StatusGoingAway {
				t.Errorf("%+v, %+v", c, r.Expectations)
			}
		})
	}
}

// TestCutByServer: a partial packet at the end is not an error of the stream if the server cut it. Errors before it
// count.
func TestCutByServer(t *testing.T) {
	stream := sample(t, "mpeg1.ts")
	lossy := append(stream[:300*188:300*188], stream[301*188:]...)
	for name, c := range map[string]struct {
		stream []byte
		ok     bool
	}{"good": {stream, true}, "a packet is missing": {lossy, false}} {
		for planned, faults := range [][]Fault{nil, {{Do: Reset{}, AfterTime: time.Hour}}} {
			t.Run(fmt.Sprintf("%s, %d faults", name, planned), func(t *testing.T) {
				t.Parallel()
				begin := time.Now()
				_, ended := endAfter(t, Options{Faults: faults, Expectations: []Expectation{ExpectClean("")}},
					blockSize,
					append(frameHeader(1<<20), c.stream[:blockSize+1000]...))
				r := <-ended
				got := r.Connections[0]
				if r.Passed != c.ok || got.Torn != got.Bytes || got.Bytes%188 == 0 ||
					got.Close.Code != wsconn.StatusGoingAway ||
					got.TS.SyncErrors != 0 || got.TS.Packets != got.Bytes/188 {
					t.Errorf("%+v, %+v", got, r.Expectations)
				}
				if d := time.Since(begin); d > deadline/2 {
					t.Errorf("it took %v", d)
				}
			})
		}
	}
}

// TestCutByFault: the partial packet at the end is not an error of the stream if a fault ended the connection.
func TestCutByFault(t *testing.T) {
	for _, fault := range []FaultKind{Reset{}, AcceptThenClose{}, CloseFrame{}, Truncate{}} {
		s := start(t, Options{Conns: 1, Faults: []Fault{{Do: fault, AfterBytes: 100*188 + 50}},
			Expectations: []Expectation{ExpectClean("")}})
		conn := raw(t, s.URL())
		conn.Write(append(frameHeader(1<<20), sample(t, "mpeg1.ts")[:200*188]...))
		if r := wait(t, s, nil); !r.Passed || r.Connections[0].TS.Packets != 100 {
			t.Errorf("%s: %+v", fault.Name(), r)
		}
	}
}

// TestEndlessPeer: a peer that never stops sending does not keep the server from ending.
func TestEndlessPeer(t *testing.T) {
	t.Parallel()
	message := append(frameHeader(2*blockSize), make([]byte, 2*blockSize)...)
	conn, ended := endAfter(t, Options{}, blockSize, message)
	for {
		if _, err := conn.Write(message); err != nil {
			break // it has ended
		}
	}
	if c := (<-ended).Connections[0]; c.Close.Code != wsconn.StatusGoingAway || c.Messages < 2 {
		t.Errorf("%+v", c)
	}
}

func TestClose(t *testing.T) {
	connected := make(chan struct{})
	s := start(t, Options{OnConnected: func(Connected) { close(connected) }})
	raw(t, s.URL())
	<-connected
	s.Close()
	if r := wait(t, s, ErrClosed); len(r.Connections) != 1 || r.Connections[0].Close.Code != 1006 {
		t.Errorf("report %+v", r)
	}
}

func TestTLS(t *testing.T) {
	s := start(t, Options{TLS: true, Conns: 3})
	port := s.URL()[strings.LastIndex(s.URL(), ":"):]
	for _, url := range []string{s.URL(), "wss://localhost" + port, s.URL() + "/x"} {
		c := dial(t, url, wsconn.DialOptions{TLS: s.ClientTLS()})
		if err := c.Close(testContext(t), 1000, ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := wsconn.Dial(testContext(t), s.URL(), wsconn.DialOptions{}); err == nil {
		t.Error("a client without the authority trusts the certificate")
	}
	wait(t, s, nil)
}

func TestToken(t *testing.T) {
	s := start(t, Options{Token: "open sesame", Conns: 2})
	host := s.URL()[len("ws://"):]
	for name, header := range map[string]http.Header{
		"none":   nil,
		"wrong":  {"Authorization": {"Bearer sesame"}},
		"naked":  {"Authorization": {"open sesame"}},
		"scheme": {"Authorization": {"Digest open sesame"}},
	} {
		_, err := wsconn.Dial(testContext(t), s.URL(), wsconn.DialOptions{Header: header})
		var refused *wsconn.StatusError
		if !errors.As(err, &refused) || refused.Code != http.StatusUnauthorized {
			t.Errorf("%s: %v", name, err)
		}
	}
	a := dial(t, s.URL(), wsconn.DialOptions{Header: http.Header{"Authorization": {"bearer open sesame"}}})
	b := dial(t, "ws://anybody:open%20sesame@"+host, wsconn.DialOptions{})
	for _, c := range []*wsconn.Conn{a, b} {
		if err := c.Close(testContext(t), 1000, ""); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, s, nil)
}

func TestNotAWebsocket(t *testing.T) {
	s := start(t, Options{})
	resp, err := http.Get("http" + s.URL()[len("ws"):])
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUpgradeRequired || resp.Header.Get("Upgrade") != "websocket" {
		t.Errorf("%v", resp)
	}
}

func TestArrivals(t *testing.T) {
	name := filepath.Join(t.TempDir(), "arrivals.csv")
	begin := time.Now()
	s := start(t, Options{Conns: 2, Arrivals: name, Start: begin})
	for range 2 {
		publish(t, s.URL(), make([]byte, 5), nil, make([]byte, 200_000))
	}
	wait(t, s, nil)
	end := time.Since(begin).Nanoseconds()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 7 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	last := int64(0)
	for i, row := range rows[1:] {
		ns, err := strconv.ParseInt(row[2], 10, 64)
		want := []string{fmt.Sprint(i/3 + 1), fmt.Sprint(i%3 + 1), row[2], []string{"5", "0", "200000"}[i%3]}
		if err != nil || fmt.Sprint(row) != fmt.Sprint(want) || ns < last || ns > end {
			t.Errorf("row %v, want %v; time between %d and %d", row, want, last, end)
		}
		last = ns
	}
	if got := strings.Join(rows[0], ","); got != "connection,message,ns,bytes" {
		t.Errorf("header %q", got)
	}
}

// TestDiskErrors: Wait returns an error if something could not be saved.
func TestDiskErrors(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("SKIPPED: no /dev/full")
	}
	dir := filepath.Join(t.TempDir(), "saved")
	for name, o := range map[string]Options{
		"save":     {Conns: 1, Save: dir},
		"full":     {Conns: 1, Save: dir},
		"arrivals": {Conns: 1, Arrivals: "/dev/full"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := New(o)
			if name == "arrivals" {
				if err == nil || !strings.Contains(err.Error(), "no space") {
					t.Errorf("New: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			// The folder goes, or the file is a device that is full.
			if name == "save" {
				err = os.RemoveAll(dir)
			} else {
				err = s.saved.root.Symlink("nowhere/else", "001-raw.ts")
			}
			if err != nil {
				t.Fatal(err)
			}
			raw(t, s.URL()).Write(append(frameHeader(1), 'x'))
			if r, err := s.Wait(testContext(t)); err == nil || !strings.Contains(err.Error(), "save") || r.Passed {
				t.Errorf("Wait: %v, %+v", err, r)
			}
		})
	}
}

func TestFileName(t *testing.T) {
	for path, want := range map[string]string{
		"/":                    "001.ts",
		"/cam1":                "001-cam1.ts",
		"/in/cam1":             "001-in-cam1.ts",
		"/live/cam.ts":         "001-live-cam.ts",
		"/../../x":             "001-x.ts",
		"/..":                  "001.ts",
		"/%2e%2e%2fx%00":       "001-2e-2e-2fx-00.ts",
		"/" + string('\\'):     "001.ts",
		"/a b":                 "001-a-b.ts",
		"/CON":                 "001-CON.ts",
		strings.Repeat("/", 9): "001.ts",
	} {
		if got := fileName(1, path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := fileName(1000, "/"+strings.Repeat("x", 5000)); len(got) > 120 || !strings.HasPrefix(got, "1000-x") {
		t.Errorf("%d bytes: %.20s", len(got), got)
	}
}

// TestHostilePath: no path makes a file outside of the folder.
func TestHostilePath(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{Conns: 1, Save: filepath.Join(dir, "saved")})
	conn, err := net.Dial("tcp", s.URL()[len("ws://"):])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /../../%2e%2e/x?q=1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	conn.Write(append(frameHeader(3), "abc"...))
	conn.(*net.TCPConn).CloseWrite()
	if c := one(t, s); c.Path != "/../../%2e%2e/x" || c.Bytes != 3 {
		t.Errorf("connection %+v", c)
	}
	all, _ := filepath.Glob(filepath.Join(dir, "*"))
	saved, _ := filepath.Glob(filepath.Join(dir, "saved", "*"))
	if len(all) != 1 || len(saved) != 1 || filepath.Base(saved[0]) != "001-2e-2e-x.ts" {
		t.Errorf("files: %v, %v", all, saved)
	}
}

func TestManyConnections(t *testing.T) {
	const n = 200
	dir := t.TempDir()
	s := start(t, Options{Conns: n, Save: dir, Arrivals: filepath.Join(t.TempDir(), "a.csv")})
	want := map[string]string{}
	var clients sync.WaitGroup
	for i := range n {
		data := make([]byte, 1+rand.IntN(100_000))
		for j := range data {
			data[j] = byte(i + j)
		}
		path := fmt.Sprintf("/cam%d", i)
		want[path] = sum(data)
		clients.Go(func() {
			half := len(data) / 2
			publish(t, s.URL()+path, data[:half], data[half:])
		})
	}
	clients.Wait()
	r := wait(t, s, nil)
	if len(r.Connections) != n {
		t.Fatalf("%d connections", len(r.Connections))
	}
	for i, c := range r.Connections {
		saved, err := os.ReadFile(filepath.Join(dir, fileName(c.ID, c.Path)))
		if err != nil || c.ID != i+1 || c.SHA256 != want[c.Path] || sum(saved) != c.SHA256 || c.Messages != 2 ||
			c.Close.Code != 1000 {
			t.Errorf("%v %+v", err, c)
		}
	}
}

// TestIdleMemory: a silent connection that has sent something needs less than 40 KiB. The test of the same name in test
// measures the whole process.
func TestIdleMemory(t *testing.T) {
	const n = 200
	const messages, length = 30, 7 * 188
	s := start(t, Options{Bytes: n * messages * length})
	stream := sample(t, "mpeg1.ts")
	before := inUse()
	for range n {
		c := raw(t, s.URL())
		for i := range messages {
			c.Write(append(frameHeader(length), stream[i*length:(i+1)*length]...))
		}
	}
	<-s.limit
	each := (inUse() - before) / n
	t.Logf("%d bytes for each idle connection, the client's side included", each)
	if !raceEnabled && each > 40<<10 {
		t.Errorf("%d bytes for each connection", each)
	}
}

func inUse() int64 {
	for range 3 {
		runtime.GC() // pools are emptied by the second
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// TestStreamCheck: of a stream that the server cut, only the partial packet is left out.
func TestStreamCheck(t *testing.T) {
	stream := sample(t, "mpeg1.ts")
	const torn = 50
	for name, c := range map[string]struct {
		stream []byte
		cut    bool
		sync   int64
		whole  int64
	}{
		"cut":                 {stream[:100*188+torn], true, 0, 100},
		"cut between packets": {stream[:100*188], true, 0, 100},
		"cut, short":          {stream[:2*188+torn], true, 0, 2},
		"cut after junk":      {append(stream[:100*188:100*188], make([]byte, torn)...), true, 1, 100},
		"cut, misaligned":     {stream[torn : 100*188], true, 1, 99},
		"ended":               {stream[:100*188+torn], false, 1, 100},
	} {
		for _, piece := range []int{1, 100, 188, 1000, 100_000} {
			k := &streamCheck{Checker: mpegts.NewChecker()}
			for p := range slices.Chunk(c.stream, piece) {
				k.Write(p)
			}
			k.End(c.cut)
			if f := k.Report(); f.SyncErrors != c.sync || f.Packets != c.whole {
				t.Errorf("%s, in pieces of %d: %d sync errors, %d packets", name, piece, f.SyncErrors, f.Packets)
			}
		}
	}
}
