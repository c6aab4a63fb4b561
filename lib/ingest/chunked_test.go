package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestChunkHeader(t *testing.T) {
	long := strings.Repeat("x", maxChunkLine)
	for _, c := range []struct {
		text       string
		atChunkEnd bool
		used       int
		size       int64
		malformed  bool
	}{
		{text: "1a\r\nx", used: 4, size: 26},
		{text: "\r\n1A\r\n", atChunkEnd: true, used: 6, size: 26},
		{text: "0\r\n\r\n", used: 3},
		{text: "5;a=b\r\n", used: 7, size: 5},
		{text: "5 \t\r\n", used: 5, size: 5},
		{text: "5 \t; a\r\n", used: 8, size: 5}, // RFC 9112, 7.1.1
		{text: "7fffffffffffffff\r\n", used: 18, size: 1<<63 - 1},
		{text: ""},
		{text: "", atChunkEnd: true},
		{text: "\r", atChunkEnd: true},
		{text: "\r\n5\r", atChunkEnd: true},
		{text: "5"},
		{text: "5\n", malformed: true},
		{text: "\n", malformed: true},
		{text: "\r\n", malformed: true},
		{text: ";a\r\n", malformed: true},
		{text: " 5\r\n", malformed: true},
		{text: "-5\r\n", malformed: true},
		{text: "0x5\r\n", malformed: true},
		{text: "5\r5\r\n", malformed: true},
		{text: "8000000000000000\r\n", malformed: true},
		{text: "10000000000000005\r\n", malformed: true},
		{text: "xx", atChunkEnd: true, malformed: true},
		{text: "\rx", atChunkEnd: true, malformed: true},
		{text: long, malformed: true},
		{text: "5;" + long + "\r\n", malformed: true},
	} {
		used, size, err := chunkHeader([]byte(c.text), c.atChunkEnd)
		if (err != nil) != c.malformed {
			t.Errorf("%.20q: error %v", c.text, err)
		}
		if err == nil && (used != c.used || size != c.size) {
			t.Errorf("%.20q: used %d, size %d; want %d, %d", c.text, used, size, c.used, c.size)
		}
	}
}

// memory is a connection that gives what is in it and then ends.
type memory struct {
	net.Conn
	io.Reader
}

func (m memory) Read(p []byte) (int, error)    { return m.Reader.Read(p) }
func (memory) SetReadDeadline(time.Time) error { return nil }

// spaceBeforeExtension is white space that RFC 9112, 7.1.1, allows and net/http does not.
var spaceBeforeExtension = regexp.MustCompile(`[[:xdigit:]][ \t]+;`)

// A chunked body means here what it means to net/http, but for what only this package refuses, and for white space
// before an extension; and it means the same in whatever pieces it comes.
func FuzzChunked(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte("5;x=y\r\nhello\r\n3\r\nfoo\r\n0\r\nTrailer: x\r\n\r\n"))
	f.Add([]byte("5\nhello\r\n0\r\n"))
	f.Add([]byte("ffffffffffffffff\r\nhello"))
	f.Add([]byte("5\r\nhell"))
	f.Fuzz(func(t *testing.T, data []byte) {
		whole := newBody(memory{Reader: bytes.NewReader(data)}, nil, -1, 0, 0)
		got, err := io.ReadAll(whole)
		want, wantErr := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(data)))
		if err == nil && wantErr != nil && !strings.Contains(wantErr.Error(), "too much non-data") &&
			!spaceBeforeExtension.Match(data) {
			t.Errorf("taken, but net/http says: %v", wantErr)
		}
		if err == nil && wantErr == nil && !bytes.Equal(got, want) {
			t.Errorf("%q is read as %q, not %q", data, got, want)
		}
		if err != nil && wantErr == nil {
			t.Errorf("%q is refused (%v), but net/http reads %q", data, err, want)
		}
		pieces := newBody(memory{Reader: iotest.OneByteReader(bytes.NewReader(data))}, nil, -1, 0, 0)
		again, againErr := io.ReadAll(pieces)
		if !bytes.Equal(got, again) || (err == nil) != (againErr == nil) {
			t.Errorf("%q is read as %q, in pieces as %q", data, got, again)
		}
	})
}

// A deadline ends a wait and nothing else, wherever in a body it falls.
func TestBodyGoesOnAfterADeadline(t *testing.T) {
	const text = "5;x\r\nhello\r\n6\r\n world\r\n0\r\n"
	for i := range len(text) {
		here, there := net.Pipe()
		b := newBody(here, nil, -1, 0, time.Hour)
		var got []byte
		read := func() error {
			p := make([]byte, 64)
			n, err := b.Read(p)
			got = append(got, p[:n]...)
			return err
		}
		paused := make(chan struct{})
		go func() {
			_, _ = io.WriteString(there, text[:i])
			<-paused
			_, _ = io.WriteString(there, text[i:])
			there.Close()
		}()
		_ = b.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		for read() == nil {
		}
		if b.end() != nil {
			t.Fatalf("cut behind %q: ended by the deadline: %v", text[:i], b.end())
		}
		_ = b.SetReadDeadline(time.Time{})
		close(paused)
		for read() == nil {
		}
		if string(got) != "hello world" || b.end() != io.EOF {
			t.Errorf("cut behind %q: read %q, then %v", text[:i], got, b.end())
		}
		here.Close()
	}
}

func TestBodyIdle(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	b := newBody(here, []byte("3\r\nab"), -1, 0, 20*time.Millisecond)
	p := make([]byte, 10)
	n, err := b.Read(p)
	if n != 2 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	time.Sleep(40 * time.Millisecond) // no read waits for the publisher: this does not count
	go func() { _, _ = there.Write([]byte("c")) }()
	if n, err := b.Read(p); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if _, err := b.Read(p); err != errIdle || b.end() != errIdle {
		t.Fatalf("%v, %v", err, b.end())
	}
	if errors.Is(errIdle, os.ErrDeadlineExceeded) {
		t.Error("an idle timeout looks like a deadline")
	}
}

func TestBodyLimit(t *testing.T) {
	for _, c := range []struct {
		text string
		want string
		end  error
	}{
		{"5\r\nhello\r\n0\r\n", "hello", io.EOF},
		{"2\r\nhe\r\n3\r\nllo\r\n0\r\n", "hello", io.EOF},
		{"6\r\nhello!\r\n0\r\n", "hello", errTooLarge},
		{"5\r\nhello\r\n1\r\n!\r\n0\r\n", "hello", errTooLarge},
		{"ffffff\r\nhel", "hel", io.ErrUnexpectedEOF},
	} {
		for name, src := range map[string]io.Reader{
			"at once": strings.NewReader(c.text), "byte by byte": iotest.OneByteReader(strings.NewReader(c.text)),
		} {
			b := newBody(memory{Reader: src}, nil, -1, 5, 0)
			got, _ := io.ReadAll(b)
			if string(got) != c.want || b.end() != c.end {
				t.Errorf("%q %s: %q, %v", c.text, name, got, b.end())
			}
		}
	}
}

func TestBodyCounted(t *testing.T) {
	for _, c := range []struct {
		length int64
		buffered, text,
		want string
		end error
	}{
		{0, "", "", "", io.EOF},
		{5, "hello", "", "hello", io.EOF},
		{5, "he", "llo and more", "hello", io.EOF},
		{5, "", "hell", "hell", io.ErrUnexpectedEOF},
	} {
		b := newBody(memory{Reader: strings.NewReader(c.text)}, []byte(c.buffered), c.length, 0, 0)
		got, _ := io.ReadAll(b)
		if string(got) != c.want || b.end() != c.end {
			t.Errorf("%+v: %q, %v", c, got, b.end())
		}
	}
}

// endless is a publisher that always has another frame.
type endless struct {
	net.Conn
	text []byte
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), 6000)], e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	return n, nil
}

func (*endless) SetReadDeadline(time.Time) error { return nil }

func BenchmarkBody(b *testing.B) {
	for _, size := range []int{5000, 32 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			body := newBody(&endless{text: []byte(chunk(make([]byte, size)))}, nil, -1, 0, time.Minute)
			p := make([]byte, 64<<10)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			var n int64
			for want := int64(0); b.Loop(); {
				for want += int64(size); n < want; {
					m, err := body.Read(p)
					if err != nil {
						b.Fatal(err)
					}
					n += int64(m)
				}
			}
		})
	}
}
