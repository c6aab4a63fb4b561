package testserver

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/wsconn"
)

const size = mpegts.PacketSize

// verdicts feeds connections with one path to expectations as a server does, and returns what they say.
func verdicts(expectations []Expectation, connections ...[]byte) []string {
	var details []string
	for _, e := range expectations {
		var seen []Result
		for i, data := range connections {
			w := e.Watch("/cam1")
			check := mpegts.NewChecker()
			for rest := data; len(rest) > 0; {
				n := min(1000, len(rest)) // packets are torn across messages
				w.Write(rest[:n])
				check.Write(rest[:n])
				rest = rest[n:]
			}
			w.End()
			check.End()
			c := Connection{Connected: Connected{ID: i + 1, Path: "/cam1"}, Bytes: int64(len(data)), SHA256: sum(data),
				TS: check.Report(), trouble: check.Problems()}
			seen = append(seen, Result{c, w})
		}
		ok, detail := e.Judge(seen)
		if ok {
			detail = "ok: " + detail
		}
		details = append(details, detail)
	}
	return details
}

func without(b []byte, from, to int) []byte { return append(bytes.Clone(b[:from]), b[to:]...) }

func inserted(b []byte, at int, what ...byte) []byte {
	return bytes.Join([][]byte{b[:at], what, b[at:]}, nil)
}

// announced puts announcements of a gap in front of each PID's first packet of b.
func announced(b []byte) []byte {
	var out []byte
	seen := map[uint16]bool{}
	for ; len(b) > 0; b = b[size:] {
		p := mpegts.Packet(b[:size])
		if !seen[p.PID()] {
			seen[p.PID()] = true
			out = mpegts.AppendDiscontinuity(out, p)
		}
		out = append(out, p...)
	}
	return out
}

// TestMutations: each change of a good stream is found by each expectation that is about it, and said with its place.
func TestMutations(t *testing.T) {
	for _, name := range []string{"mpeg1.ts", "h264.ts"} {
		t.Run(name, func(t *testing.T) { testMutations(t, name) })
	}
}

func testMutations(t *testing.T, name string) {
	b := sample(t, name)
	source, err := newSource(b)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("../../test/testdata", name)
	expectFile, _ := ExpectFile("", file)
	expectSum, _ := ExpectSHA256("", sum(b))
	expectSubset, err := ExpectSubset("", file)
	if err != nil {
		t.Fatal(err)
	}
	frames := int64(120)
	if name == "h264.ts" {
		frames = newChecked(b).Frames
	}
	expectations := []Expectation{expectFile, expectSum, expectSubset, ExpectClean(""), ExpectFrames("", frames, false)}

	first := func(g int) int { return source.groups[g].first * size }
	// A video packet inside the second group, with another one behind it.
	inner := source.groups[1].access + 2
	for source.packet(inner).PayloadUnitStart() || source.packet(inner+1).PID() != source.packet(inner).PID() || source.packet(inner+1).PayloadUnitStart() {
		inner++
	}
	at := inner * size
	pid := fmt.Sprintf("PID 0x%04x", source.packet(inner).PID())
	where := func(byte int) string { return fmt.Sprintf("byte %d (packet %d", byte, byte/size) }
	pat := source.groups[1].first
	for source.packet(pat).PID() != mpegts.PIDPAT {
		pat++
	}
	tail := first(len(source.groups) - 1)
	flip := func(i int) []byte { c := bytes.Clone(b); c[i] ^= 1; return c }
	swapped := bytes.Join([][]byte{b[:at], b[at+size : at+2*size], b[at : at+size], b[at+2*size:]}, nil)
	const gap = "packets of group 2 are missing"
	const holds = "ok: "
	// What the sender puts in is no part of what is missing.
	gone := fmt.Sprintf("%d bytes are missing, %d packets injected", first(2)-first(1)-source.tablesIn(1)*size,
		(len(announced(b[first(2):]))-len(b[first(2):]))/size)
	cases := map[string]struct {
		connections                      [][]byte
		file, sum, subset, clean, frames string // in the details
	}{
		"nothing":                   {[][]byte{b}, holds, holds, holds, holds, holds},
		"a packet dropped":          {[][]byte{without(b, at, at+size)}, fmt.Sprintf("(packet %d", inner), "not " + sum(b), where(at) + ", " + pid + "): the packet in front of it", where(at) + ", " + pid + "): counter", holds},
		"a packet doubled":          {[][]byte{inserted(b, at, b[at:at+size]...)}, fmt.Sprintf("(packet %d", inner+1), "not ", where(at+size) + ", " + pid + "): a packet of the source, " + where(at), holds, holds},
		"two packets swapped":       {[][]byte{swapped}, fmt.Sprintf("(packet %d", inner), "not ", where(at) + ", " + pid + "): the packet in front", where(at) + ", " + pid + "): counter", holds},
		"a bit flipped":             {[][]byte{flip(at + 100)}, fmt.Sprintf("byte %d (packet %d, %s): 0x", at+100, inner, pid), "not ", fmt.Sprintf("byte %d (packet %d, %s) is not of the source", at+100, inner, pid), holds, holds},
		"a PAT removed":             {[][]byte{without(b, pat*size, (pat+1)*size)}, "differs", "not ", where(pat*size) + ", PID 0x1000): group 2 comes without its PAT", "PID 0x0000): counter", holds},
		"a PMT removed":             {[][]byte{without(b, (pat+1)*size, (pat+2)*size)}, "differs", "not ", ": group 2 comes without its PMT", "PID 0x1000): counter", holds},
		"a PAT's CRC broken":        {[][]byte{flip(pat*size + 5 + 12)}, where(pat*size + 17), "not ", where(pat*size+17) + ", PID 0x0000) is not", where(pat*size) + ", PID 0x0000): wrong CRC", holds},
		"a group missing":           {[][]byte{without(b, first(1), first(2))}, "differs", "not ", "ok: /cam1: of", where(first(1)), "not "},
		"a group missing, told":     {[][]byte{append(bytes.Clone(b[:first(1)]), announced(b[first(2):])...)}, "differs", "not ", "groups 2: missing, " + gone, holds, "not "},
		"groups missing at the end": {[][]byte{b[:tail]}, "ends after", "not ", fmt.Sprintf("groups %d: missing, %d bytes", len(source.groups), len(b)-tail-source.tablesIn(len(source.groups)-1)*size), holds, "not "},
		"half a group missing":      {[][]byte{without(b, at, first(2))}, "differs", "not ", gap, "continuity", "not "},
		"a group repeated":          {[][]byte{inserted(b, first(2), b[first(1):first(2)]...)}, "differs", "not ", "group 2 comes again inside the connection", "continuity", "not "},
		"the end torn":              {[][]byte{b[:len(b)-1000]}, fmt.Sprintf("ends after %d", len(b)-1000), "not ", fmt.Sprintf("ends at byte %d in the middle of group %d", len(b)-1000, len(source.groups)), "sync", ""},
		"something behind":          {[][]byte{append(bytes.Clone(b), b[at:at+size]...)}, "goes on after", "not ", "goes on behind the end of the source", "continuity", holds},
		"nothing at all":            {[][]byte{nil}, "ends after 0", "not ", "no packet of the", "no PAT", "not "},
		"no packets":                {[][]byte{append(bytes.Clone(b[:at]), make([]byte, 1000)...)}, where(at), "not ", where(at) + ") is not of the source", "sync", ""},
		"a reconnect that repeats":  {[][]byte{b[:first(2)], b[first(1):]}, "ends after", "not ", "groups 2: repeated at a reconnect", "", "not "},
		"a reconnect at a group":    {[][]byte{b[:at+50], b[first(2):]}, "ends after", "not ", "groups 2: cut short at a reconnect", "", "not "},
		"a lossless reconnect":      {[][]byte{b[:at+50], b[at-2*size:]}, "ends after", "not ", "groups 2: repeated at a reconnect, 0 bytes", "", "not "},
		"a reconnect with a hole":   {[][]byte{b[:at+50], b[at+size:]}, "ends after", "not ", "connection 2 (/cam1): begins in the middle of group 2", "", "not "},
		"a reconnect behind tables": {[][]byte{b[:at+50], b[source.groups[1].access*size:]}, "ends after", "not ", "groups 2: repeated at a reconnect, 0 bytes", "", "not "},
		"a start in mid-group":      {[][]byte{b[at:]}, "differs", "not ", "begins in the middle of group 2", "does not start at a keyframe", ""},
	}
	for title, c := range cases {
		t.Run(title, func(t *testing.T) {
			got := verdicts(expectations, c.connections...)
			for i, want := range []string{c.file, c.sum, c.subset, c.clean, c.frames} {
				// Of a subset, groups may be missing and repeated.
				ok := strings.HasPrefix(want, holds) || strings.HasPrefix(want, "groups")
				if !strings.Contains(got[i], want) || want == holds && got[i] != holds || want != "" && strings.HasPrefix(got[i], holds) != ok {
					t.Errorf("%s: %q, want %q", expectations[i].Name(), got[i], want)
				}
			}
		})
	}
}

// TestReconnectAtTables: a connection may end and the next one go on anywhere among tables, but not without a packet.
func TestReconnectAtTables(t *testing.T) {
	b := sample(t, "bframes.ts")
	expect, err := ExpectSubset("", "../../test/testdata/bframes.ts")
	if err != nil {
		t.Fatal(err)
	}
	s := expect.(*subset).source
	tables := bytes.Clone(b[:3*size]) // SDT, PAT and PMT, as a sender puts them in
	for at := 0; at < len(tables); at += size {
		tables[at+3] ^= 0x0F
	}
	cuts := 0
	for i := 1; i < s.packets(); i++ {
		if !s.isTable(s.packet(i)) && !s.isTable(s.packet(i-1)) {
			continue
		}
		cuts++
		end, next := b[:i*size], b[i*size:]
		for name, connections := range map[string][][]byte{
			"lossless":               {end, next},
			"tables put in":          {end, append(bytes.Clone(tables), next...)},
			"a connection between":   {end, next[:size], next[size:]},
			"tables only, between":   {end, tables, next},
			"inside the next packet": {b[:i*size+100], next},
		} {
			if got := verdicts([]Expectation{expect}, connections...)[0]; !strings.HasPrefix(got, "ok:") {
				t.Errorf("%s, at packet %d: %s", name, i, got)
			}
		}
		if s.groups[s.at(i)].access >= i || i+1 == s.packets() {
			continue // a whole group may begin here, with tables or without; or the stream end
		}
		for name, connections := range map[string][][]byte{
			"the last packet missing": {b[:(i-1)*size], next},
			"the next packet missing": {end, next[size:]},
		} {
			got := verdicts([]Expectation{expect}, connections...)[0]
			if !strings.Contains(got, "begins in the middle of group") {
				t.Errorf("%s, at packet %d: %s", name, i, got)
			}
		}
	}
	if cuts < 60 {
		t.Errorf("%d places are looked at", cuts)
	}
}

// subsetOf returns the expectation of a subset of b.
func subsetOf(t *testing.T, b []byte) *subset {
	t.Helper()
	file := filepath.Join(t.TempDir(), "source.ts")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	expect, err := ExpectSubset("", file)
	if err != nil {
		t.Fatal(err)
	}
	return expect.(*subset)
}

// TestSubsetClock: the PCR on a PID of its own, where no PES packet begins, may not be missing either.
func TestSubsetClock(t *testing.T) {
	var b []byte
	var clocks []int // where they stand
	plain := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 4, FramePackets: 3}, 20)
	for ; len(plain) > 0; plain = plain[size:] {
		p := mpegts.Packet(plain[:size])
		b = append(b, p...)
		if p.PayloadUnitStart() && p.PID() == tsgen.VideoPID {
			clocks = append(clocks, len(b))
			clock := append([]byte{mpegts.SyncByte, 0x01, 0xFF, 0x20, size - 5, 0x10}, make([]byte, size-6)...)
			clock[9] = byte(len(clocks))
			b = append(b, clock...)
		}
	}
	expect := subsetOf(t, b)
	s := expect.source
	first := func(g int) int { return s.groups[g].first * size }
	for name, c := range map[string]struct {
		stream []byte
		want   string
	}{
		"all":             {b, "ok:"},
		"a group missing": {without(b, first(1), first(2)), "ok:"},
		"one missing":     {without(b, clocks[7], clocks[7]+size), ": the packet in front of it"},
		"one missing behind a gap": {without(without(b, clocks[12], clocks[12]+size), first(1), first(2)),
			": the packet in front of it"},
	} {
		if got := verdicts([]Expectation{expect}, c.stream)[0]; !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestSubsetNullPackets: a null packet in front of a keyframe is no PMT.
func TestSubsetNullPackets(t *testing.T) {
	var b []byte
	var scan mpegts.Scanner
	plain := tsgen.Frames(tsgen.Options{GOP: 5, NoTables: true}, 20)
	for ; len(plain) > 0; plain = plain[size:] {
		if scan.Packet(plain[:size])&mpegts.RandomAccess != 0 {
			b = append(b, mpegts.SyncByte, mpegts.PIDNull>>8, mpegts.PIDNull&0xFF, 0x10)
			b = append(b, make([]byte, size-4)...)
		}
		b = append(b, plain[:size]...)
	}
	expect := subsetOf(t, b)
	first := func(g int) int { return expect.source.groups[g].first * size }
	if got := verdicts([]Expectation{expect}, without(b, first(1), first(2)))[0]; !strings.Contains(got, "ok: ") {
		t.Errorf("a group missing: %s", got)
	}
}

func newChecked(b []byte) mpegts.Report {
	c := mpegts.NewChecker()
	c.Write(b)
	c.End()
	return c.Report()
}

// tablesIn counts the tables of a group, which are not missed with it.
func (s *source) tablesIn(g int) (n int) {
	for i := s.groups[g].first; i < s.groups[g].end; i++ {
		if s.isTable(s.packet(i)) {
			n++
		}
	}
	return n
}

// TestDump: both sides are shown around the place.
func TestDump(t *testing.T) {
	b := sample(t, "mpeg1.ts")
	other := bytes.Clone(b)
	other[20000] ^= 0x80
	subset, err := ExpectSubset("", "../../test/testdata/mpeg1.ts")
	if err != nil {
		t.Fatal(err)
	}
	got := verdicts([]Expectation{subset}, other)[0]
	want := fmt.Sprintf("\n  expected 00004e18  % x >%02x< % x", b[19992:20000], b[20000], b[20001:20016]) +
		fmt.Sprintf("\n  came     00004e18  % x >%02x< % x", other[19992:20000], other[20000], other[20001:20016])
	if !strings.HasSuffix(got, want) {
		t.Errorf("got %s\nwant …%s", got, want)
	}
}

// TestSubsetSource: what cannot be a source is refused at once.
func TestSubsetSource(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"empty":     nil,
		"torn":      sample(t, "mpeg1.ts")[:1000],
		"other":     make([]byte, 2*size),
		"in middle": sample(t, "mpeg1.ts")[20*size : 22*size],
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ExpectSubset("", file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHandshakeExpectations: how many came, on which paths, with which headers.
func TestHandshakeExpectations(t *testing.T) {
	must := func(e Expectation, err error) Expectation {
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	cases := []struct {
		expect Expectation
		detail string // "" when it holds
	}{
		{ExpectConns("", 2, false), ""},
		{ExpectConns("", 1, true), ""},
		{ExpectConns("/a/cam1", 1, false), ""},
		{ExpectConns("/none", 0, false), ""},
		{ExpectConns("", 3, false), "2 connections came, not 3"},
		{ExpectConns("/none", 1, true), "0 connections with the path /none came, not at least 1"},
		{must(ExpectPath("/a/cam?")), ""},
		{must(ExpectPath("/a/*1")), "connection 2 (/a/cam2): the path is /a/cam2, which does not match /a/*1"},
		{must(ExpectHeader("", "x-camera", " front ")), ""},
		{must(ExpectHeader("/a/cam1", "Authorization", "Bearer one")), ""},
		{must(ExpectHeader("", "Authorization", "Bearer two")), "the header Authorization has another value"},
		{must(ExpectHeader("", "X-Camera", "back")), `the header X-Camera is "front", not "back"`},
		{must(ExpectHeader("", "X-None", "x")), "there is no header X-None"},
	}
	o := Options{Conns: 2}
	for _, c := range cases {
		o.Expectations = append(o.Expectations, c.expect)
	}
	s := start(t, o)
	for _, path := range []string{"/a/cam1", "/a/cam2"} {
		c := dial(t, s.URL()+path, wsconn.DialOptions{Header: map[string][]string{"X-Camera": {"front"}, "Authorization": {"Bearer one"}}})
		if err := c.Close(testContext(t), 1000, ""); err != nil {
			t.Fatal(err)
		}
	}
	r := wait(t, s, nil)
	for i, c := range cases {
		v := r.Expectations[i]
		if v.OK != (c.detail == "") || !strings.Contains(v.Detail, c.detail) || strings.Contains(v.Detail, "Bearer") {
			t.Errorf("%d %s: got %v %q, want %q", i, v.Name, v.OK, v.Detail, c.detail)
		}
	}
	if _, err := ExpectPath("/[cam"); err == nil {
		t.Error("a broken pattern is taken")
	}
	if _, err := ExpectHeader("", " ", "x"); err == nil {
		t.Error("a header without a name is taken")
	}
}

// TestTornMessage: what there is of a message whose end never came is no message.
func TestTornMessage(t *testing.T) {
	s := start(t, Options{Conns: 1, Expectations: []Expectation{
		ExpectMessages("", 1, false), ExpectMessages("", 1, true), ExpectMessages("", 2, false), ExpectMessages("/x", 2, true),
	}})
	conn := raw(t, s.URL())
	conn.Write(append(append(frameHeader(3), "abc"...), 0x02, 0x84, 0, 0, 0, 0, 'd', 'e', 'f', 'g')) // no FIN
	conn.CloseWrite()
	r := wait(t, s, nil)
	want := []string{"", "", "connection 1 (/raw): 1 messages came, and 4 bytes of one that has no end (behind byte 3), not 2", "no connection came with the path /x"}
	for i, v := range r.Expectations {
		if v.Detail != want[i] {
			t.Errorf("got %q, want %q", v.Detail, want[i])
		}
	}
}

func TestMaxGap(t *testing.T) {
	s := start(t, Options{Conns: 1, Expectations: []Expectation{ExpectMaxGap("", time.Hour), ExpectMaxGap("", 20*time.Millisecond)}})
	c := dial(t, s.URL(), wsconn.DialOptions{})
	for n := range 4 {
		if n == 2 {
			time.Sleep(50 * time.Millisecond) // what is measured
		}
		if err := c.Write(testContext(t), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(testContext(t), 1000, ""); err != nil {
		t.Fatal(err)
	}
	r := wait(t, s, nil)
	if v := r.Expectations; !v[0].OK || v[1].OK || !strings.Contains(v[1].Detail, "message 3 came ") {
		t.Errorf("%+v", v)
	}
}
