package mpegts

import "bytes"

// startCodes finds the start code prefixes (00 00 01) of an elementary stream that comes in pieces.
type startCodes struct {
	zeros int // how many zero bytes end the piece before, 2 at most
}

// next returns the index after the first start code prefix that ends in b, or -1. After -1 the next piece continues
// b.
func (s *startCodes) next(b []byte) int {
	at := 0
	if s.zeros > 0 {
		for at < len(b) && b[at] == 0 {
			at++
		}
		zeros := min(s.zeros+at, 2)
		if at == len(b) {
			s.zeros = zeros
			return -1
		}
		s.zeros = 0
		if b[at] == 1 && zeros == 2 {
			return at + 1
		}
	}
	for {
		n := bytes.IndexByte(b[at:], 0)
		if n < 0 {
			return -1
		}
		at += n
		end := at + 1
		for end < len(b) && b[end] == 0 {
			end++
		}
		if end == len(b) {
			s.zeros = min(end-at, 2)
			return -1
		}
		if b[end] == 1 && end-at >= 2 {
			return end + 1
		}
		at = end + 1
	}
}
