package testserver

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// fakeTB records how a test fails.
type fakeTB struct {
	cleanups []func()
	messages []string
}

func (f *fakeTB) Helper()          {}
func (f *fakeTB) Cleanup(c func()) { f.cleanups = append(f.cleanups, c) }
func (f *fakeTB) Errorf(text string, a ...any) {
	f.messages = append(f.messages, fmt.Sprintf(text, a...))
}
func (f *fakeTB) Fatalf(text string, a ...any) {
	f.messages = append(f.messages, "fatal: "+fmt.Sprintf(text, a...))
}
func (f *fakeTB) end() string {
	for _, c := range f.cleanups {
		c()
	}
	return strings.Join(f.messages, "\n")
}

func TestStart(t *testing.T) {
	five := ExpectBytes("", Exactly(5))
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"holds":    {Options{Conns: 1, Expectations: []Expectation{five}}, ""},
		"no limit": {Options{Expectations: []Expectation{five}, Linger: deadline}, ""},
		"fails": {Options{Conns: 1, Expectations: []Expectation{ExpectBytes("", Exactly(6))}},
			"expectation bytes failed: connection 1 (/): 5 bytes came, not 6"},
		"too few connections": {Options{Conns: 2, Timeout: 50 * time.Millisecond}, "timed out; 1 connections came"},
		"does not listen":     {Options{Listen: "192.0.2.1:1"}, "fatal: test server: listen"},
	} {
		t.Run(name, func(t *testing.T) {
			var tb fakeTB
			if s := Start(&tb, c.o); s != nil {
				publish(t, s.URL(), []byte("hello"))
			}
			if got := tb.end(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("the test failed with %q, want %q", got, c.want)
			}
		})
	}
}

// TestStartAndWait: the end of a context with which the test calls Wait is not a failure; an error of the server is.
func TestStartAndWait(t *testing.T) {
	broken := errors.New("the disk is full")
	for name, c := range map[string]struct {
		cause  error
		broken bool
		want   string
	}{
		"cancelled":         {cause: context.Canceled},
		"deadline exceeded": {cause: context.DeadlineExceeded},
		"another cause":     {cause: errors.New("enough")},
		"the server failed": {cause: context.Canceled, broken: true,
			want: "test server: the disk is full; 0 connections came"},
	} {
		t.Run(name, func(t *testing.T) {
			var tb fakeTB
			s := Start(&tb, Options{})
			if c.broken {
				s.fail(broken)
			}
			ctx, cancel := context.WithCancelCause(context.Background())
			cancel(c.cause)
			if _, err := s.Wait(ctx); err != c.cause && !c.broken {
				t.Errorf("Wait: %v", err)
			}
			if got := tb.end(); got != c.want {
				t.Errorf("the test failed with %q, want %q", got, c.want)
			}
		})
	}
}

func TestJUnit(t *testing.T) {
	r := Report{TimedOut: true, Expectations: []Verdict{{"clean", "", true, ""},
		{"file", "/cam<1>", false, "differs & \"so\"\n  expected 00"}}}
	text, err := r.JUnit()
	if err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal(text, &got); err != nil || got.Suite.Tests != 3 || got.Suite.Failures != 2 ||
		len(got.Suite.Cases) != 3 {
		t.Fatalf("%v\n%s", err, text)
	}
	c := got.Suite.Cases[2]
	if c.Name != "file /cam<1>" || c.Failure == nil || c.Failure.Message != "differs & \"so\"" ||
		c.Failure.Text != r.Expectations[1].Detail {
		t.Errorf("%+v", c)
	}
	if got.Suite.Cases[1].Failure != nil || !bytes.HasPrefix(text, []byte("<?xml")) {
		t.Errorf("%s", text)
	}
}
