package testserver

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// Expectation is something that must hold of what came. Its methods may be called concurrently, but for Judge, which is
// called once at the end.
type Expectation interface {
	// Name is what it is called in the report, and Path the path that it is about there; "" means all.
	Name() string
	Path() string
	// Watch is called for each connection, with its path, and returns what is to see its bytes, or nil when the
	// expectation is not about it.
	Watch(path string) Observer
	// Judge says whether the expectation held and, if not, what was expected and what came: a line, and below it, indented,
	// the bytes around the place where they part. It gets the connections that are watched, in the order in which they
	// came.
	Judge(seen []Result) (ok bool, detail string)
}

// Observer sees the bytes of one connection, in pieces of any size. Write must not keep or change them, and cannot fail.
type Observer interface {
	Write(p []byte)
	End() // nothing more will come
}

// Result is a connection that has ended, with what watched it.
type Result struct {
	Connection
	Watcher Observer
}

// each is an expectation that must hold for every connection with a path, and for one at least.
type each struct {
	name, path string
	watch      func() Observer
	judge      func(Result) (wrong string)
}

func (e *each) Name() string { return e.name }
func (e *each) Path() string { return e.path }

func (e *each) Watch(path string) Observer {
	if e.path != "" && e.path != path {
		return nil
	}
	return e.watch()
}

func (e *each) Judge(seen []Result) (ok bool, detail string) {
	if len(seen) == 0 {
		if e.path != "" {
			return false, "no connection came with the path " + e.path
		}
		return false, "no connection came"
	}
	failed, below := 0, ""
	for _, s := range seen {
		if wrong := e.judge(s); wrong != "" {
			if failed++; failed == 1 {
				line, dump, more := strings.Cut(wrong, "\n")
				detail = fmt.Sprintf("connection %d (%s): %s", s.ID, s.Path, line)
				if more {
					below = "\n" + dump
				}
			}
		}
	}
	if failed > 1 {
		detail += fmt.Sprintf("; %d of %d connections failed", failed, len(seen))
	}
	return failed == 0, detail + below
}

// unwatched is for expectations about what is in the report anyway.
type unwatched struct{}

func (unwatched) Write([]byte) {}
func (unwatched) End()         {}

// ExpectSHA256 expects each connection with the path ("": any) to carry bytes with this SHA-256, in hexadecimal digits.
func ExpectSHA256(path, sum string) (Expectation, error) {
	if b, err := hex.DecodeString(sum); err != nil || len(b) != 32 {
		return nil, fmt.Errorf("%q is no SHA-256 (64 hexadecimal digits)", sum)
	}
	want := strings.ToLower(sum)
	return &each{"sha256", path, func() Observer { return unwatched{} }, func(s Result) string {
		if s.SHA256 == want {
			return ""
		}
		return fmt.Sprintf("the %d bytes that came have %s, not %s", s.Bytes, s.SHA256, want)
	}}, nil
}

// ExpectClean expects each connection with the path ("": any) to carry an MPEG transport stream without a fault: in
// sync to the end, continuous but for announced gaps, with PAT and PMT whose CRC is right, beginning at a keyframe, with
// timestamps that do not jump and a PCR often enough (Options.MaxPCRInterval).
func ExpectClean(path string) Expectation {
	return &each{"clean", path, func() Observer { return unwatched{} }, func(s Result) string {
		return strings.Join(s.trouble, "; ")
	}}
}
