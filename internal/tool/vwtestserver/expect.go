package vwtestserver

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/testserver"
)

// makeFunc makes an expectation of the parts of a flag's value, PATH=VALUE.
type makeFunc func(path, value string) (testserver.Expectation, error)

// expectFlags are the flags that make an expectation for a path. The report lists the expectations in this order.
var expectFlags = []struct {
	name string
	make makeFunc
}{
	{"expect-file", fileExpectation(testserver.ExpectFile)},
	{"expect-subset", fileExpectation(testserver.ExpectSubset)},
	{"expect-sha256", testserver.ExpectSHA256},
	{"expect-bytes", countExpectation(cli.ParseSize, testserver.ExpectBytes)},
	{"expect-messages", countExpectation(parseCount, testserver.ExpectMessages)},
	{"expect-frames", countExpectation(parseCount, testserver.ExpectFrames)},
	{"expect-conns", countExpectation(parseCount, testserver.ExpectConns)},
	{"expect-max-gap", func(path, value string) (testserver.Expectation, error) {
		d, err := cli.ParseDuration(value)
		if err != nil || d <= 0 {
			return nil, fmt.Errorf("%q is not a duration above 0", value)
		}
		return testserver.ExpectMaxGap(path, d), nil
	}},
	{"expect-header", func(path, value string) (testserver.Expectation, error) {
		name, value, ok := strings.Cut(value, ":")
		if !ok {
			return nil, errors.New("not 'Name: value'")
		}
		return testserver.ExpectHeader(path, name, value)
	}},
}

// fileError is a file that cannot be used. That is not wrong usage, and has another exit status.
type fileError struct{ error }

func fileExpectation(expect makeFunc) makeFunc {
	return func(path, file string) (testserver.Expectation, error) {
		if file == "" {
			return nil, errors.New("the name of a file is missing")
		}
		e, err := expect(path, file)
		if err != nil {
			return nil, fileError{err}
		}
		return e, nil
	}
}

type countFunc func(path string, n testserver.Count) testserver.Expectation

func countExpectation(parse func(string) (int64, error), expect countFunc) makeFunc {
	return func(path, value string) (testserver.Expectation, error) {
		number, atLeast := strings.CutPrefix(value, ">=")
		n, err := parse(number)
		if err != nil {
			return nil, err
		}
		if atLeast {
			return expect(path, testserver.AtLeast(n)), nil
		}
		return expect(path, testserver.Exactly(n)), nil
	}
}

func parseCount(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is not a count", s)
	}
	return int64(n), nil
}

func readExpectations(c *ucli.Context) ([]testserver.Expectation, error) {
	var all []testserver.Expectation
	for _, f := range expectFlags {
		for _, value := range cli.Repeated(c, f.name) {
			e, err := f.make(splitPath(value))
			var file fileError
			if errors.As(err, &file) {
				return nil, file.error
			}
			if err != nil {
				return nil, cli.Usagef("invalid value for --%s: %w", f.name, err)
			}
			all = append(all, e)
		}
	}
	for _, pattern := range cli.Repeated(c, "expect-path") {
		e, err := testserver.ExpectPath(pattern)
		if err != nil {
			return nil, cli.Usagef("invalid value for --expect-path: %w", err)
		}
		all = append(all, e)
	}
	if c.Bool("expect-clean") {
		all = append(all, testserver.ExpectClean(""))
	}
	return all, nil
}

// splitPath splits the value of a flag: PATH=VALUE, =VALUE or VALUE.
func splitPath(s string) (path, value string) {
	if path, value, ok := strings.Cut(s, "="); ok && (path == "" || path[0] == '/') {
		return path, value
	}
	return "", s
}
