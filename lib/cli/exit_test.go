package cli

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"
)

func TestStatus(t *testing.T) {
	plain := errors.New("plain")
	status := func(n int) error { return WithStatus(plain, n) }
	for name, tc := range map[string]struct {
		err  error
		want int
	}{
		"none":                         {nil, 0},
		"plain":                        {plain, 1},
		"usage":                        {Usagef("x"), 2},
		"wrapped":                      {fmt.Errorf("x: %w", status(3)), 3},
		"hinted":                       {WithHint(status(4), "y"), 4},
		"the outer one counts":         {WithStatus(errors.Join(status(2), plain), 3), 3},
		"without a message":            {WithStatus(nil, 3), 3},
		"usage before failed":          {errors.Join(plain, status(2)), 2},
		"failed before expectation":    {errors.Join(status(4), plain), 1},
		"expectation before timeout":   {errors.Join(status(5), status(4)), 4},
		"timeout before dropped":       {errors.Join(status(3), status(5)), 5},
		"dropped before ok":            {errors.Join(status(0), status(3)), 3},
		"joined and wrapped":           {fmt.Errorf("x: %w", errors.Join(status(3), status(5))), 5},
		"unknown status of an error":   {status(77), 1},
		"a wrapped leaf has no status": {fmt.Errorf("x: %w", io.EOF), 1},
	} {
		if got := Status(tc.err); got != tc.want {
			t.Errorf("%s: got %d, want %d", name, got, tc.want)
		}
	}
}

func TestMessages(t *testing.T) {
	a, b := errors.New("a"), errors.New("b")
	for name, tc := range map[string]struct {
		err  error
		want []message
	}{
		"none":                        {nil, nil},
		"status only":                 {WithStatus(nil, 3), nil},
		"hint":                        {fmt.Errorf("x: %w", WithHint(a, "h")), []message{{"x: a", "h"}}},
		"joined":                      {errors.Join(a, WithHint(b, "h")), []message{{text: "a"}, {"b", "h"}}},
		"joined with a status only":   {errors.Join(WithStatus(nil, 3), b), []message{{text: "b"}}},
		"joined under a status":       {WithStatus(errors.Join(a, b), 3), []message{{text: "a"}, {text: "b"}}},
		"two wrapped in one sentence": {fmt.Errorf("%w: %w", a, b), []message{{text: "a: b"}}},
		"joined in a sentence":        {fmt.Errorf("x: %w", errors.Join(a, b)), []message{{text: "x: a b"}}},
		"control characters":          {errors.New("a\x1b[31m\r\nb\u009bé"), []message{{text: "a [31m  b é"}}},
	} {
		if got := messages(tc.err); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

func TestErrorsKeepTheirCause(t *testing.T) {
	err := WithHint(WithStatus(fmt.Errorf("x: %w", io.ErrUnexpectedEOF), 3), "h")
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("errors.Is does not find the cause of %v", err)
	}
}
