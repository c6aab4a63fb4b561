package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The exit statuses of all vw tools.
const (
	ExitOK          = 0 // everything that was read was delivered
	ExitFailed      = 1 // could not start, gave up, or was told twice to stop
	ExitUsage       = 2 // wrong usage, before anything was read
	ExitDropped     = 3 // something was dropped, for any reason but a --stop-* limit
	ExitExpectation = 4 // an expectation failed (vw-testserver)
	ExitTimeout     = 5 // timed out waiting (vw-testserver)
)

// exitOrder decides which status counts if several apply: the first.
var exitOrder = []int{ExitUsage, ExitFailed, ExitExpectation, ExitTimeout, ExitDropped, ExitOK}

var exitMeaning = map[int]string{
	ExitOK:          "everything that was read was delivered, one hop further",
	ExitFailed:      "could not start, gave up, or was told twice to stop",
	ExitUsage:       "wrong usage; nothing was read",
	ExitDropped:     "something was dropped (the ledger says what and why)",
	ExitExpectation: "an expectation failed",
	ExitTimeout:     "timed out waiting",
}

// Usagef is an error in how the tool was called: status 2.
func Usagef(format string, args ...any) error {
	return WithStatus(fmt.Errorf(format, args...), ExitUsage)
}

// WithStatus gives err an exit status, whatever statuses it wraps. WithStatus(nil, status) is an error too: it sets the
// status and is not printed, for what has been reported already.
func WithStatus(err error, status int) error {
	return &statusError{err, status}
}

type statusError struct {
	err    error // nil: nothing to print
	status int
}

func (e *statusError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *statusError) Unwrap() error { return e.err }

// WithHint adds to err what the user can do about it, printed on a line of its own.
func WithHint(err error, hint string) error {
	return &hintError{err, hint}
}

type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// Status is the exit status for err: 0 for nil, 1 for an error without a status, and of several joined errors the first
// that fits in the order 2, 1, 4, 5, 3, 0.
func Status(err error) int {
	if err == nil {
		return ExitOK
	}
	found := statuses(err)
	for _, status := range exitOrder {
		if slices.Contains(found, status) {
			return status
		}
	}
	return ExitFailed
}

func statuses(err error) []int {
	if e, ok := err.(*statusError); ok {
		return []int{e.status}
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return statuses(inner)
		}
	case interface{ Unwrap() []error }:
		var all []int
		for _, inner := range e.Unwrap() {
			all = append(all, statuses(inner)...)
		}
		return all
	}
	return []int{ExitFailed}
}

// message is what is printed of one error.
type message struct{ text, hint string }

// messages splits err, where errors were joined, into what is printed line by line.
func messages(err error) []message {
	if err == nil {
		return nil
	}
	if e, ok := err.(*statusError); ok {
		return messages(e.err)
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && err.Error() == errors.Join(joined.Unwrap()...).Error() {
		var all []message
		for _, inner := range joined.Unwrap() {
			all = append(all, messages(inner)...)
		}
		return all
	}
	m := message{text: oneLine(err.Error())}
	var h *hintError
	if errors.As(err, &h) {
		m.hint = oneLine(h.hint)
	}
	return []message{m}
}

// oneLine makes text harmless to print: errors quote what servers said, and that may hold anything.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}
