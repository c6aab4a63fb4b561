package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	// maxHeader is the longest request header, in bytes, and maxFields the most fields of one. Publishers need a tenth.
	maxHeader = 16 << 10
	maxFields = 64
	// firstRead is how much memory a connection gets for its header at first, in bytes.
	firstRead = 1 << 10
)

var (
	errHeaderTooLong = fmt.Errorf("the header is longer than %d bytes or %d fields", maxHeader, maxFields)
	errBadHeader     = errors.New("the header is malformed")
)

// readHeader reads a request header from conn. rest is what was read after it. It answers only with an error of conn,
// errHeaderTooLong or errBadHeader (wrapped).
//
// net/http's server would allow a header more memory than its own size, and would read on after refusing it.
func readHeader(conn net.Conn) (r *http.Request, rest []byte, err error) {
	buf := make([]byte, 0, firstRead)
	var scan headerScan
	for {
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, min(2*cap(buf), maxHeader)), buf...)
		}
		n, err := conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		end, bad := scan.next(buf)
		switch {
		case bad != nil:
			return nil, nil, bad
		case end > 0:
			r, err := parseHeader(buf[:end], scan)
			return r, buf[end:], err
		case err == io.EOF && len(buf) > 0:
			return nil, nil, fmt.Errorf("%w: it is incomplete", errBadHeader)
		case err != nil:
			return nil, nil, err
		case len(buf) == maxHeader:
			return nil, nil, errHeaderTooLong
		}
	}
}

// headerScan looks for the end of a header as it arrives.
type headerScan struct {
	at      int // where the line begins that is not complete
	lines   int
	hosts   int // Host fields
	codings int // Transfer-Encoding fields
}

// next returns the length of the header if buf, which it has seen the beginning of, holds all of it; else 0.
func (s *headerScan) next(buf []byte) (end int, err error) {
	for {
		n := bytes.IndexByte(buf[s.at:], '\n')
		if n < 0 {
			return 0, nil
		}
		line := buf[s.at : s.at+n]
		s.at += n + 1
		// A line that does not end in CR LF is the end of a header to some servers and not to others.
		if n == 0 || bytes.IndexByte(line, '\r') != n-1 {
			return 0, fmt.Errorf("%w: a line does not end in CR LF", errBadHeader)
		}
		if n == 1 && s.lines > 0 {
			return s.at, nil
		}
		if s.lines++; s.lines > maxFields+1 {
			return 0, errHeaderTooLong
		}
		if line[0] == ' ' || line[0] == '\t' { // RFC 9112, 5.2: servers differ in what a folded field says
			return 0, fmt.Errorf("%w: a field goes on in the next line", errBadHeader)
		}
		name, _, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("host")):
			s.hosts++
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			s.codings++
		}
	}
}

// parseHeader parses a whole header, which scan has seen, and checks what net/http's server would check.
func parseHeader(header []byte, scan headerScan) (*http.Request, error) {
	r, err := http.ReadRequest(bufio.NewReaderSize(bytes.NewReader(bytes.Clone(header)), len(header)))
	if err != nil {
		// The text would repeat what the client sent, which may be a token.
		return nil, errBadHeader
	}
	switch {
	case scan.hosts > 1, scan.hosts == 0 && r.ProtoAtLeast(1, 1) && r.ProtoMajor == 1:
		return nil, fmt.Errorf("%w: %d Host fields", errBadHeader, scan.hosts)
	case scan.codings > 0 && !r.ProtoAtLeast(1, 1): // RFC 9112, 6.1: its end is uncertain
		return nil, fmt.Errorf("%w: Transfer-Encoding in HTTP/1.0", errBadHeader)
	case !httpguts.ValidHostHeader(r.Host):
		return nil, fmt.Errorf("%w: the Host field", errBadHeader)
	}
	for name, values := range r.Header {
		for _, v := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(v) {
				return nil, fmt.Errorf("%w: a field", errBadHeader)
			}
		}
	}
	return r, nil
}

// hasToken reports whether a field that lists tokens has one.
func hasToken(h http.Header, field, token string) bool {
	return httpguts.HeaderValuesContainsToken(h.Values(field), token)
}

// acceptedEncoding reports whether the body is sent as it is: no other coding than identity.
func acceptedEncoding(h http.Header) bool {
	for _, line := range h.Values("Content-Encoding") {
		for coding := range strings.SplitSeq(line, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				return false
			}
		}
	}
	return true
}
