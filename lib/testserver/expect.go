package testserver

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// Expectation is something that must hold for what came. Name, Path and Watch may be called concurrently; Judge is
// called once, at the end.
//
// The functions of this package whose names begin with Expect make expectations. Others may implement the interface.
type Expectation interface {
	// Name is what the report calls it.
	Name() string
	// Path is the path of the connections that it is about; "" means all.
	Path() string
	// Watch is called for each connection with its path, and returns what observes its bytes, or nil if the expectation
	// is not about this connection.
	Watch(path string) Observer
	// Judge gets the observed connections in the order in which they came, and reports whether the expectation holds.
	// If not, detail says what was expected and what came, in one line; more lines, indented, may show the bytes around
	// the difference.
	Judge(results []Result) (ok bool, detail string)
}

// Observer gets the bytes of one connection, in pieces of any size. Write must not keep or change them, and cannot
// fail.
type Observer interface {
	Write(p []byte)
	End() // nothing more will come
}

// Result is a connection that has ended, with what observed it.
type Result struct {
	Connection
	Observer Observer
}

// each is an expectation that must hold for every connection with a path, and for at least one.
type each struct {
	name, path string
	observe    func() Observer
	judge      func(Result) (wrong string)
}

func (e *each) Name() string { return e.name }
func (e *each) Path() string { return e.path }

func (e *each) Watch(path string) Observer {
	if e.path != "" && e.path != path {
		return nil
	}
	return e.observe()
}

func (e *each) Judge(results []Result) (ok bool, detail string) {
	if len(results) == 0 {
		return false, noConnection(e.path)
	}
	failed, dump := 0, ""
	for _, r := range results {
		wrong := e.judge(r)
		if wrong == "" {
			continue
		}
		if failed++; failed == 1 {
			line, more, ok := strings.Cut(wrong, "\n")
			detail = fmt.Sprintf("connection %d (%s): %s", r.ID, r.Path, line)
			if ok {
				dump = "\n" + more
			}
		}
	}
	if failed > 1 {
		detail += fmt.Sprintf("; %d of %d connections failed", failed, len(results))
	}
	return failed == 0, detail + dump
}

func noConnection(path string) string {
	if path != "" {
		return "no connection came with the path " + path
	}
	return "no connection came"
}

// noObserver is for expectations about what the report contains anyway.
type noObserver struct{}

func (noObserver) Write([]byte) {}
func (noObserver) End()         {}

func observeNothing() Observer { return noObserver{} }

// ExpectSHA256 expects the bytes of each connection with the path ("": any) to have this SHA-256, in hexadecimal
// digits.
func ExpectSHA256(path, sum string) (Expectation, error) {
	if b, err := hex.DecodeString(sum); err != nil || len(b) != 32 {
		return nil, fmt.Errorf("%q is not a SHA-256 (64 hexadecimal digits)", sum)
	}
	want := strings.ToLower(sum)
	return &each{"sha256", path, observeNothing, func(r Result) string {
		if r.SHA256 == want {
			return ""
		}
		return fmt.Sprintf("the %d bytes that came have %s, not %s", r.Bytes, r.SHA256, want)
	}}, nil
}

// ExpectClean expects each connection with the path ("": any) to carry an MPEG transport stream without errors: in sync
// to the end, continuous except at announced gaps, with PAT and PMT whose CRC is right, beginning at a keyframe, with
// timestamps that do not jump and a PCR often enough (Options.MaxPCRInterval).
func ExpectClean(path string) Expectation {
	return &each{"clean", path, observeNothing, func(r Result) string { return strings.Join(r.problems, "; ") }}
}
