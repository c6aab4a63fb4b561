package mpegts

// ParameterSets are what a decoder needs before the first picture: SPS and PPS of H.264, with VPS of HEVC, or a sequence
// header. They do not change once made.
type ParameterSets struct {
	data []byte // as in the elementary stream, with start codes
}

// AppendPES appends the packets of a PES packet that carries the sets alone, with the PID, the timestamps and the
// random_access_indicator of keyframe, the packet that follows it, whose continuity counter the last one leads up to.
func (s *ParameterSets) AppendPES(dst []byte, keyframe Packet) []byte {
	return dst
}
