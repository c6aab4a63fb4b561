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
func chunkSize(line []byte) (size int64, err error) {
	digits := 0
	for ; digits < len(line); digits++ {
		digit := hexDigit(line[digits])
		if digit < 0 {
			break
		}
		size = size<<4 | int64(digit)
	}
	rest := line[digits:]
	if len(rest) > 0 {
		rest = bytes.TrimLeft(rest, " \t") // also before an extension
	}
	if digits == 0 || digits > 16 || size < 0 || len(rest) > 0 && rest[0] != ';' {
		return 0, errMalformed
	}
	return size, nil
}

// hexDigit returns the value of a hexadecimal digit, and -1 for any other byte.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
