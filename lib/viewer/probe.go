package viewer

import (
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

const (
	// liveFor is how long after its last byte a stream still counts as flowing.
	liveFor = 5 * time.Second
	// rateSeconds is over how many seconds the bit rate is measured.
	rateSeconds = 5
	// maxHead is how much of a keyframe is looked at for its headers, in bytes.
	maxHead = 2 << 10
)

// probe finds out what the stream is. Its user's lock protects it.
type probe struct {
	generation int
	began      time.Time // when the first byte of all came
	since      time.Time // when this generation began; zero before the first byte
	last       time.Time // when the last byte came

	scan     mpegts.Scanner
	head     []byte          // the beginning of a PES packet
	headPID  uint16          // of the PES packet whose beginning is collected; 0: none
	streams  []mpegts.Stream // of the PMT
	codecs   Codecs
	width    int
	height   int
	dts      uint64 // of the last access unit
	timed    bool   // it has one
	keyframe uint64 // DTS of the last keyframe
	counting bool   // keyframe is one, and frames have been counted since
	frames   int
	fps, gop float64

	rate [rateSeconds + 1]rateSecond
}

// rateSecond is how many bytes came in one second. Seconds count from the first byte, so a wall clock that is set
// changes nothing.
type rateSecond struct {
	second, bytes int64
}

func newProbe() *probe { return &probe{generation: 1} }

// restart begins a new generation.
func (p *probe) restart() {
	*p = probe{generation: p.generation + 1, began: p.began, last: p.last, rate: p.rate}
}

// frame looks at what has just come in.
func (p *probe) frame(f *frame, now time.Time) {
	if p.since.IsZero() {
		p.since = now
	}
	if p.began.IsZero() {
		p.began = now
	}
	p.last = now
	second := p.second(now)
	r := &p.rate[second%int64(len(p.rate))]
	if r.second != second {
		*r = rateSecond{second: second}
	}
	r.bytes += f.size
	if f.kind != stream.Packets {
		return
	}
	if f.begin != nil && f.begin.PSI != nil {
		p.streams = f.begin.PSI.Streams
		p.setCodecs()
	}
	p.scan.ReceivedAt = now
	for b := f.payload; len(b) >= mpegts.PacketSize; b = b[mpegts.PacketSize:] {
		if p.headPID == 0 {
			b = b[p.scan.SkipPayload(b):]
			if len(b) < mpegts.PacketSize {
				return
			}
		}
		p.packet(b[:mpegts.PacketSize])
	}
}

func (p *probe) packet(packet mpegts.Packet) {
	mark := p.scan.Packet(packet)
	if stream, video, ok := p.scan.Followed(); ok && video && stream.PID == packet.PID() {
		p.videoPacket(packet)
	}
	if mark&mpegts.Decided != 0 {
		p.count(p.scan.Decision())
	}
	if mark&mpegts.Undecided == 0 {
		p.count(mark)
	}
}

// videoPacket looks at a packet of the video: for its time, and for the headers that a PES packet begins with.
func (p *probe) videoPacket(packet mpegts.Packet) {
	if p.codecs.Video == "none" { // until now, when the elementary stream has shown it
		p.setCodecs()
	}
	if packet.PayloadUnitStart() {
		p.endHead()
		if dts, ok := packet.DTS(); ok {
			p.dts, p.timed = dts, true
		}
		if p.width == 0 || p.codecs.Video == "" || p.frames == 0 {
			p.head, p.headPID = p.head[:0], packet.PID()
		}
	}
	if p.headPID != 0 {
		p.addHead(packet.Payload())
	}
}

// count counts the access units that a mark shows.
func (p *probe) count(mark mpegts.Mark) {
	if mark.Keyframes() > 0 && p.timed {
		if p.counting && p.seconds() > 0 {
			p.gop, p.fps = p.seconds(), float64(p.frames)/p.seconds()
		}
		p.keyframe, p.counting, p.frames = p.dts, true, 0
	}
	p.frames += mark.AccessUnits()
}

// seconds is how long after the last keyframe the last access unit is, by the stream's clock.
func (p *probe) seconds() float64 {
	return float64(mpegts.ClockDiff(p.dts, p.keyframe)) / mpegts.ClockRate
}

// framesPerSecond is the frame rate of the last group of pictures, or in the first one that of its frames so far.
func (p *probe) framesPerSecond() float64 {
	if p.fps == 0 && p.counting && p.frames > 1 && p.seconds() > 0 {
		return float64(p.frames-1) / p.seconds()
	}
	return p.fps
}

// addHead collects the beginning of a keyframe.
func (p *probe) addHead(payload []byte) {
	p.head = append(p.head, payload...)
	if len(p.head) >= maxHead {
		p.endHead()
	}
}

// endHead looks at what was collected of a keyframe.
func (p *probe) endHead() {
	if p.headPID == 0 {
		return
	}
	p.headPID = 0
	switch p.codecs.Video {
	case "mpeg1video", "mpeg2video":
		if h, ok := parseSequenceHeader(p.head); ok {
			p.width, p.height, p.codecs.Video = h.width, h.height, "mpeg1video"
			if h.mpeg2 {
				p.codecs.Video = "mpeg2video"
			}
		}
	}
}

// setCodecs takes the codecs from the PMT, and from the elementary stream where only that says that it is video.
func (p *probe) setCodecs() {
	c := Codecs{Video: "none", Audio: "none"}
	followed, followedIsVideo, _ := p.scan.Followed()
	for _, s := range p.streams {
		name := videoName(s)
		if name == "" && followedIsVideo && s.PID == followed.PID {
			name = "other"
		}
		switch {
		case name == "" && c.Audio == "none":
			c.Audio = audioName(s.Type)
		case name != "" && c.Video == "none":
			c.Video = name
		}
	}
	if p.codecs.Video == "mpeg1video" && c.Video == "mpeg2video" {
		c.Video = p.codecs.Video // the sequence header has shown it
	}
	p.codecs = c
}

// videoName names the video of a stream, "" if it is none by the PMT. Players go by the stream type: to them, H.264
// with another type is another codec.
func videoName(s mpegts.Stream) string {
	switch {
	case s.Type == mpegts.StreamMPEG1Video:
		return "mpeg1video"
	case s.Type == mpegts.StreamMPEG2Video:
		return "mpeg2video"
	case s.Type == mpegts.StreamH264:
		return "h264"
	case s.Type == mpegts.StreamHEVC:
		return "hevc"
	case s.IsVideo():
		return "other"
	}
	return ""
}

// audioName names the audio of a stream type (ISO/IEC 13818-1, table 2-34); 0x81 is ATSC's. A stream that is neither
// video nor known audio is "none".
func audioName(t mpegts.StreamType) string {
	switch t {
	case 0x03, 0x04:
		return "mp2"
	case 0x0F, 0x11:
		return "aac"
	case 0x81:
		return "ac3"
	case 0x06, 0x1C, 0x87:
		return "other"
	}
	return "none"
}

// second is how many whole seconds have passed since the first byte.
func (p *probe) second(now time.Time) int64 { return int64(now.Sub(p.began) / time.Second) }

// bitRate is that of the last whole seconds, 0 in the first one.
func (p *probe) bitRate(now time.Time) int64 {
	this := p.second(now)
	if p.began.IsZero() || this == 0 {
		return 0
	}
	var bytes int64
	for _, r := range p.rate {
		if age := this - r.second; age > 0 && age <= rateSeconds {
			bytes += r.bytes
		}
	}
	return bytes * 8 / min(rateSeconds, this)
}
