package testserver

import (
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// TestHandshakeExpectations: expectations about the number of connections, their paths and headers.
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
		{ExpectConns("", Exactly(2)), ""},
		{ExpectConns("", AtLeast(1)), ""},
		{ExpectConns("/a/cam1", Exactly(1)), ""},
		{ExpectConns("/none", Exactly(0)), ""},
		{ExpectConns("", Exactly(3)), "2 connections came, not 3"},
		{ExpectConns("/none", AtLeast(1)), "0 connections with the path /none came, not at least 1"},
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
		c := dial(t, s.URL()+path, wsconn.DialOptions{Header: map[string][]string{"X-Camera": {"front"},
			"Authorization": {"Bearer one"}}})
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

// TestTornMessage: a message whose end never came does not count as one.
func TestTornMessage(t *testing.T) {
	s := start(t, Options{Conns: 1, Expectations: []Expectation{
		ExpectMessages("", Exactly(1)), ExpectMessages("", AtLeast(1)), ExpectMessages("", Exactly(2)),
		ExpectMessages("/x", AtLeast(2)),
	}})
	conn := raw(t, s.URL())
	conn.Write(append(append(frameHeader(3), "abc"...), 0x02, 0x84, 0, 0, 0, 0, 'd', 'e', 'f', 'g')) // no FIN
	conn.CloseWrite()
	r := wait(t, s, nil)
	want := []string{"", "",
		"connection 1 (/raw): 1 messages came, and 4 bytes of an incomplete one (after byte 3), not 2",
		"no connection came with the path /x"}
	for i, v := range r.Expectations {
		if v.Detail != want[i] {
			t.Errorf("got %q, want %q", v.Detail, want[i])
		}
	}
}

func TestMaxGap(t *testing.T) {
	s := start(t, Options{Conns: 1, Expectations: []Expectation{ExpectMaxGap("", time.Hour),
		ExpectMaxGap("", 20*time.Millisecond)}})
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
