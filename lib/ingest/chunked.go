package ingest

import (
	"bytes"
	"errors"
)

var errMalformed = errors.New("malformed chunked body")

// maxChunkLine is the longest line with the size of a chunk, in bytes. Extensions have to fit; they are ignored.
const maxChunkLine = 4096

// chunkHeader reads what precedes the data of a chunk (RFC 9112, 7.1): the end of the line after the data of the
// previous chunk, if there was one, and the line with the size. It returns how many bytes that took, or 0 if b does not
// hold all of it yet.
func chunkHeader(b []byte, atChunkEnd bool) (used int, size int64, err error) {
	if atChunkEnd {
		if !bytes.HasPrefix([]byte("\r\n"), b[:min(len(b), 2)]) {
			return 0, 0, errMalformed
		}
		if len(b) < 2 {
			return 0, 0, nil
		}
		used, b = 2, b[2:]
	}
	end := bytes.IndexByte(b[:min(len(b), maxChunkLine)], '\n')
	if end < 0 {
		if len(b) >= maxChunkLine {
			return 0, 0, errMalformed
		}
		return 0, 0, nil
	}
	// Servers differ in how they read a line that ends otherwise or has a carriage return elsewhere: refuse it.
	if end == 0 || bytes.IndexByte(b[:end], '\r') != end-1 {
		return 0, 0, errMalformed
	}
	size, err = chunkSize(b[:end-1])
	return used + end + 1, size, err
}

// chunkSize parses a line with the size of a chunk.
func chunkSize(line []byte) (int64, error) {
	line, _, _ = bytes.Cut(line, []byte(";"))
	line = bytes.TrimRight(line, " \t") // also before an extension
	if len(line) == 0 || len(line) > 16 {
		return 0, errMalformed
	}
	var size uint64
	for _, c := range line {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, errMalformed
		}
		size = size<<4 | uint64(c)
	}
	if size > 1<<63-1 {
		return 0, errMalformed
	}
	return int64(size), nil
}
