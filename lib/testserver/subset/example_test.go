package subset_test

import (
	"fmt"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/testserver/subset"
)

// A live sender lost the second of four groups of pictures, and nothing else.
func Example() {
	const groupSize = (2 + 4 + 4*2) * mpegts.PacketSize // PAT and PMT, a keyframe, four other frames
	source := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 4, FramePackets: 2}, 4*5)
	reference, err := subset.NewReference(source)
	if err != nil {
		fmt.Println(err)
		return
	}
	connection := reference.NewMatcher()
	connection.Write(source[:groupSize])
	connection.Write(source[2*groupSize:])
	connection.End()
	summary, err := reference.Compare(connection)
	fmt.Println(summary, err)
	// Output: of 4 groups of pictures, groups 2: missing, 2256 bytes are missing, 0 packets injected <nil>
}
