package mpegts

import "bytes"

// startCodes finds the start code prefixes (00 00 01) of an elementary stream that comes in pieces.
type startCodes struct {
	zeros int // how many zero bytes end the piece before, 2 at most
}

// next returns the index after the first start code prefix that ends in b, or -1. After -1 the next piece continues
// b.
func (s *startCodes) next(b []byte) int {
	// Of the three bytes the last is the rarest: zeros are common in headers and in what fills a stream up.
	for at := 0; ; at++ {
		n := bytes.IndexByte(b[at:], 1)
		if n < 0 {
			break
		}
		at += n
		if s.zerosAtEnd(b[:at]) == 2 {
			s.zeros = 0
			return at + 1
		}
	}
	s.zeros = s.zerosAtEnd(b)
	return -1
}

// zerosAtEnd returns how many zero bytes end b, which follows the piece before: 2 at most.
func (s *startCodes) zerosAtEnd(b []byte) int {
	switch n := len(b); {
	case n == 0:
		return s.zeros
	case b[n-1] != 0:
		return 0
	case n == 1:
		return min(s.zeros+1, 2)
	case b[n-2] != 0:
		return 1
	}
	return 2
}
