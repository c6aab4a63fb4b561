package mpegts

import "fmt"

// StreamType is the stream_type of an elementary stream: its codec (ISO/IEC 13818-1, table 2-34).
type StreamType uint8

// The stream types whose elementary streams a Scanner reads.
const (
	StreamMPEG1Video StreamType = 0x01
	StreamMPEG2Video StreamType = 0x02
	StreamH264       StreamType = 0x1B
	StreamHEVC       StreamType = 0x24

	streamUnknown StreamType = 0x00
)

// IsVideo reports whether the stream type is a video codec's.
func (t StreamType) IsVideo() bool {
	switch t {
	case StreamMPEG1Video, StreamMPEG2Video, StreamH264, StreamHEVC,
		0x10, 0x1E, 0x1F, 0x20, 0x21, 0x33, 0x42, 0xD1, 0xD2, 0xEA:
		return true
	}
	return false
}

// IsAudio reports whether the stream type is an audio codec's.
func (t StreamType) IsAudio() bool {
	switch t {
	case 0x03, 0x04, 0x0F, 0x11, 0x1C, 0x2D, 0x2E, 0x81, 0x87:
		return true
	}
	return false
}

// maybeVideo reports whether a stream of that type may turn out to be video: private and unknown types.
func (t StreamType) maybeVideo() bool { return !t.IsVideo() && !t.IsAudio() }

// String is the codec's name (ISO/IEC 13818-1, table 2-34; above 0x7F what is usual).
func (t StreamType) String() string {
	switch t {
	case StreamMPEG1Video:
		return "MPEG-1 video"
	case StreamMPEG2Video:
		return "MPEG-2 video"
	case 0x03:
		return "MPEG-1 audio"
	case 0x04:
		return "MPEG-2 audio"
	case 0x06:
		return "private PES"
	case 0x0F, 0x11:
		return "AAC"
	case 0x10:
		return "MPEG-4 video"
	case 0x15:
		return "metadata"
	case StreamH264:
		return "H.264"
	case StreamHEVC:
		return "HEVC"
	case 0x33:
		return "VVC"
	case 0x81:
		return "AC-3"
	case 0x87:
		return "E-AC-3"
	}
	return fmt.Sprintf("stream type 0x%02x", uint8(t))
}

// Stream is one elementary stream of a program.
type Stream struct {
	PID  uint16
	Type StreamType

	described codec // by the PMT's descriptors
}

// IsVideo reports whether the PMT says that the stream is video, by its type or by a descriptor.
func (s Stream) IsVideo() bool { return s.Type.IsVideo() || s.described != codecUnknown }

// codec returns how to read the elementary stream.
func (s Stream) codec() codec {
	switch {
	case s.Type == StreamMPEG1Video, s.Type == StreamMPEG2Video:
		return codecMPEG
	case s.Type == StreamH264:
		return codecH264
	case s.Type == StreamHEVC:
		return codecHEVC
	case s.Type.IsVideo():
		return codecOther
	}
	return s.described
}

// codec is how to read an elementary stream.
type codec uint8

const (
	codecUnknown codec = iota // the elementary stream will say it
	codecMPEG                 // MPEG-1 and MPEG-2 video
	codecH264
	codecHEVC
	codecOther // video that a Scanner cannot read
)

// describedCodec returns the video codec that the descriptors of a stream name, codecUnknown if they name none.
func describedCodec(b []byte) codec {
	const (
		videoStream  = 0x02 // MPEG-1 and MPEG-2 (ISO/IEC 13818-1, 2.6.2)
		registration = 0x05 // 2.6.8
		avcVideo     = 0x28 // 2.6.64
		hevcVideo    = 0x38 // 2.6.95
	)
	for len(b) >= 2 && 2+int(b[1]) <= len(b) {
		body := b[2 : 2+int(b[1])]
		switch b[0] {
		case videoStream:
			return codecMPEG
		case avcVideo:
			return codecH264
		case hevcVideo:
			return codecHEVC
		case registration:
			if len(body) >= 4 {
				switch string(body[:4]) {
				case "HEVC":
					return codecHEVC
				case "VVC ", "AV01", "VC-1", "drac", "EVC ", "AVS2", "AVS3":
					return codecOther
				}
			}
		}
		b = b[2+int(b[1]):]
	}
	return codecUnknown
}

// detectCodec tells the codec by the first bytes of an elementary stream, codecUnknown if they do not tell it.
func detectCodec(es []byte) codec {
	for len(es) >= 4 && es[0] == 0 && es[1] == 0 && es[2] == 0 {
		es = es[1:]
	}
	if len(es) < 5 || es[0] != 0 || es[1] != 0 || es[2] != 1 {
		return codecUnknown
	}
	switch first, second := es[3], es[4]; {
	case first == sequenceHeader:
		return codecMPEG
	case first&0x9F == h264AUD && second&0x1F == 0x10: // primary_pic_type and the stop bit
		return codecH264
	case first&0x9F == h264SPS && first&0x60 != 0 && isH264Profile(second):
		return codecH264
	case second == 1 && (first == hevcAUD<<1 || first == hevcVPS<<1 || first == hevcSPS<<1): // layer 0, sub-layer 0
		return codecHEVC
	}
	return codecUnknown
}

func isH264Profile(profile byte) bool {
	switch profile {
	case 44, 66, 77, 83, 86, 88, 100, 110, 118, 122, 128, 134, 138, 139, 244:
		return true
	}
	return false
}
