package testserver

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/timdrysdale/vw/lib/testserver/subset"
)

// subsetExpectation is the expectation of ExpectSubset.
type subsetExpectation struct {
	path      string
	reference *subset.Reference
}

// ExpectSubset expects the connections with the path ("": each path by itself) to carry the MPEG transport stream of
// the file with nothing missing but whole groups of pictures, and nothing twice except at the beginning of a
// connection. Package subset says what is allowed. [ExpectClean] checks that gaps are announced. The file is held in
// memory.
//
// The verdict's detail names the groups, from 1, that are missing, repeated or cut short, also when the expectation
// holds.
func ExpectSubset(path, name string) (Expectation, error) {
	var data []byte
	err := checkRegular(name)
	if err == nil {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("expected subset: %w", err)
	}
	reference, err := subset.NewReference(data)
	if err != nil {
		return nil, fmt.Errorf("expected subset: %s: %w", name, err)
	}
	return &subsetExpectation{path, reference}, nil
}

func (e *subsetExpectation) Name() string { return "subset" }
func (e *subsetExpectation) Path() string { return e.path }

func (e *subsetExpectation) Watch(path string) Observer {
	if e.path != "" && e.path != path {
		return nil
	}
	return e.reference.NewMatcher()
}

func (e *subsetExpectation) Judge(results []Result) (ok bool, detail string) {
	if len(results) == 0 {
		return false, noConnection(e.path)
	}
	var paths []string
	byPath := map[string][]Result{}
	for _, r := range results {
		if byPath[r.Path] == nil {
			paths = append(paths, r.Path)
		}
		byPath[r.Path] = append(byPath[r.Path], r)
	}
	var summaries []string
	for _, path := range paths {
		var matchers []*subset.Matcher
		for _, r := range byPath[path] {
			matchers = append(matchers, r.Observer.(*subset.Matcher))
		}
		summary, err := e.reference.Compare(matchers...)
		var mismatch *subset.MismatchError
		switch {
		case errors.As(err, &mismatch):
			id := byPath[path][mismatch.Connection].ID
			return false, fmt.Sprintf("connection %d (%s): %s", id, path, mismatch.Detail)
		case err != nil:
			return false, path + ": " + err.Error()
		case summary != "":
			summaries = append(summaries, path+": "+summary)
		}
	}
	return true, strings.Join(summaries, "; ")
}
