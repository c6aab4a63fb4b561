package main

import (
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

const (
	frameTime = time.Second / 25
	gop       = 12
	// loop is how many frames can be repeated without a gap in a continuity counter: 16 groups, so that the 4 bits of
	// each come round. The clocks go back, so this is for what is measured without regard to time.
	loop = 16 * gop
)

// picture is the frames of a stream of so many Mbit/s.
type picture [][]byte

var pictures = map[float64]picture{}

// newPicture makes n frames in which a keyframe is 3.3 times as long as any other, as MPEG-1 has it.
func newPicture(rate float64, n int) picture {
	if p := pictures[rate]; len(p) >= n {
		return p[:n]
	}
	packets := rate * 1e6 / 8 / 25 / mpegts.PacketSize // a frame, on average
	plain := max(int(packets*gop/(gop-1+3.3)+0.5), 1)
	g := tsgen.New(tsgen.Options{GOP: gop, KeyPackets: max(int(3.3*float64(plain)), 1), FramePackets: plain})
	p := make(picture, n)
	for i := range p {
		p[i] = g.Frame(nil)
	}
	pictures[rate] = p
	return p
}

// rate is how many bits a second a picture has.
func (p picture) rate() float64 {
	n := 0
	for _, frame := range p {
		n += len(frame)
	}
	return float64(n) * 8 * 25 / float64(len(p))
}
