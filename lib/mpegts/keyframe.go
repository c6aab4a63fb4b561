package mpegts

// beginsWithKeyframe reports whether the elementary stream bytes at the start of a PES packet say that decoding can
// start there: a sequence header, parameter sets or an intra picture. It is for muxers that do not set
// random_access_indicator, and looks only at what the first packet holds.
func beginsWithKeyframe(t StreamType, es []byte) bool {
	for {
		i := startCode(es)
		if i < 0 {
			return false
		}
		es = es[i:]
		switch t {
		case StreamMPEG1Video, StreamMPEG2Video:
			return es[0] == 0xB3 // sequence_header_code (ISO/IEC 13818-2, 6.2.2.1)
		case StreamH264:
			switch es[0] & 0x1F { // nal_unit_type (ISO/IEC 14496-10, table 7-1)
			case 5, 7: // IDR slice, sequence parameter set
				return true
			case 1, 2: // other slices
				return false
			}
		case StreamHEVC:
			switch n := es[0] >> 1 & 0x3F; { // nal_unit_type (ISO/IEC 23008-2, table 7-1)
			case n >= 16 && n <= 23, n == 32, n == 33: // IRAP pictures, parameter sets
				return true
			case n <= 9: // other slices
				return false
			}
		default: // no PMT said what it is: a sequence header, or H.264's parameter set with its usual priorities
			return es[0] == 0xB3 || es[0] == 0x67 || es[0] == 0x27
		}
	}
}

// startCode returns the index behind the first start code prefix (00 00 01) in b, which is within b, or -1.
func startCode(b []byte) int {
	for i := 0; i+3 < len(b); i++ {
		if b[i] == 0 && b[i+1] == 0 && b[i+2] == 1 {
			return i + 3
		}
	}
	return -1
}
