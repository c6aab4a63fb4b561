package mpegts_test

import (
	"fmt"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen/remux"
)

// TestFieldsOfH264: both fields of a frame are one access unit, whatever the PES packets hold, and only the first can
// be a keyframe.
func TestFieldsOfH264(t *testing.T) {
	const frames, keyframes = 60, 5
	for name, o := range map[string]tsgen.FieldOptions{
		"fields":          {GOP: 12},
		"two I fields":    {GOP: 12, IntraSecond: true},
		"frames":          {GOP: 12, Progressive: func(int) bool { return true }},
		"frames between":  {GOP: 12, Progressive: func(n int) bool { return n/9%2 == 1 }},
		"fields between":  {GOP: 12, Progressive: func(n int) bool { return n%7 > 0 }},
		"every other one": {GOP: 12, Progressive: func(n int) bool { return n%2 > 0 }},
	} {
		stream := tsgen.FieldPictures(frames, o)
		for _, layout := range []remux.Layout{
			remux.FramePerPES, remux.NALPerPES, remux.TwoFramesPerPES, remux.HeaderAlone, remux.FieldPerPES,
		} {
			for _, once := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, layout %d, headers once %v", name, layout, once), func(t *testing.T) {
					ro := remux.Options{Codec: mpegts.StreamH264, Layout: layout, HeadersOnce: once}
					_, n, places, _ := scan(t, remux.Stream(stream, tsgen.VideoPID, ro))
					if n != frames || places != keyframes {
						t.Errorf("%d frames, %d keyframes; want %d and %d", n, places, frames, keyframes)
					}
				})
			}
		}
	}
}
