package tsgen

import (
	"math/bits"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// FieldOptions configure FieldPictures.
type FieldOptions struct {
	// GOP is the number of frames from one keyframe to the next, at least 1.
	GOP int
	// Progressive says which frames are coded whole; nil: none.
	Progressive func(frame int) bool
	// IntraSecond makes the second field of a keyframe an I picture too.
	IntraSecond bool
}

// The size of what FieldPictures makes, in macroblocks. A field is one row high.
const (
	fieldWidth   = 2
	fieldSamples = 384 // of a macroblock
)

// FieldPictures returns a stream of n frames of H.264 whose two fields are pictures of their own (PAFF), 32x32 pixels
// of grey at 25 frames a second. Decoders decode it. Each PES packet has one frame, and each picture an access unit
// delimiter.
func FieldPictures(n int, o FieldOptions) (b []byte) {
	g := New(Options{})
	g.video = mpegts.StreamH264
	o.GOP = max(o.GOP, 1)
	for frame := range n {
		key := frame%o.GOP == 0
		p := picture{idr: key, intra: key, frameNum: uint32(frame%o.GOP) % 16, id: uint32(frame / o.GOP % 2)}
		es := append([]byte(nil), delimiter...)
		if key {
			b = g.tables(b)
			es = append(append(es, sps()...), pps()...)
		}
		if o.Progressive != nil && o.Progressive(frame) {
			es = append(es, p.unit()...)
		} else {
			p.field = true
			es = append(append(es, p.unit()...), delimiter...)
			p.bottom, p.idr, p.intra = true, false, key && o.IntraSecond
			es = append(es, p.unit()...)
		}
		b = g.pesPackets(b, pes(0xE0, uint64(frame)*FrameTicks, es), key)
	}
	return b
}

// pesPackets appends the packets of a PES packet of the video. The last one is filled up in its adaptation field.
func (g *Generator) pesPackets(dst, pes []byte, key bool) []byte {
	for first := true; len(pes) > 0; first = false {
		header := []byte{mpegts.SyncByte, VideoPID >> 8, VideoPID & 0xFF, 0x10 | g.counters[VideoPID]}
		g.counters[VideoPID] = (g.counters[VideoPID] + 1) & 0x0F
		var adaptation []byte
		if first {
			header[1] |= 0x40
			adaptation = []byte{1, 0}
			if key {
				adaptation[1] = 0x40
			}
		}
		room := mpegts.PacketSize - len(header)
		if part := len(pes) + len(adaptation); part < room {
			if adaptation == nil {
				adaptation = []byte{0}
			}
			if len(adaptation) == 1 && len(pes) < room-1 {
				adaptation = append(adaptation, 0)
			}
			for len(adaptation)+len(pes) < room {
				adaptation = append(adaptation, 0xFF)
			}
		}
		if adaptation != nil {
			header[3] |= 0x20
			adaptation[0] = byte(len(adaptation) - 1)
		}
		n := room - len(adaptation)
		dst = append(append(append(dst, header...), adaptation...), pes[:n]...)
		pes = pes[n:]
	}
	return dst
}

var delimiter = []byte{0, 0, 0, 1, 9, 0xF0}

// picture is a frame or a field that is coded as a picture.
type picture struct {
	field, bottom bool
	idr, intra    bool
	frameNum, id  uint32 // id is idr_pic_id
}

// unit returns the picture's slice: of an I picture samples as they are (I_PCM), of a P picture nothing but skipped
// macroblocks (ISO/IEC 14496-10, 7.3.3 and 7.3.4).
func (p picture) unit() []byte {
	var w bitWriter
	macroblocks := fieldWidth
	if !p.field {
		macroblocks *= 2
	}
	header, sliceType := byte(0x61), uint32(5) // P
	if p.intra {
		sliceType = 7
	}
	if p.idr {
		header = 0x65
	}
	w.ue(0) // first_mb_in_slice
	w.ue(sliceType)
	w.ue(0) // pic_parameter_set_id
	w.u(4, p.frameNum)
	w.flag(p.field)
	if p.field {
		w.flag(p.bottom)
	}
	if p.idr {
		w.ue(p.id)
	}
	if !p.intra {
		w.u(1, 0) // num_ref_idx_active_override_flag
		w.u(1, 0) // ref_pic_list_modification_flag_l0
	}
	w.u(1, 0) // no_output_of_prior_pics_flag, adaptive_ref_pic_marking_mode_flag
	if p.idr {
		w.u(1, 0) // long_term_reference_flag
	}
	w.ue(0) // slice_qp_delta
	if !p.intra {
		w.ue(uint32(macroblocks)) // mb_skip_run
		return w.nal(header)
	}
	for range macroblocks {
		w.ue(25) // I_PCM
		w.align()
		for i := range fieldSamples {
			w.u(8, uint32(64+i/4))
		}
	}
	return w.nal(header)
}

// sps returns an SPS of the Main profile (7.3.2.1.1).
func sps() []byte {
	var w bitWriter
	w.u(24, 77<<16|30) // profile_idc, level_idc 3
	w.ue(0)            // seq_parameter_set_id
	w.ue(0)            // log2_max_frame_num_minus4
	w.ue(2)            // pic_order_cnt_type
	w.ue(1)            // max_num_ref_frames
	w.u(1, 0)          // gaps_in_frame_num_value_allowed_flag
	w.ue(fieldWidth - 1)
	w.ue(0)   // pic_height_in_map_units_minus1
	w.u(1, 0) // frame_mbs_only_flag
	w.u(1, 0) // mb_adaptive_frame_field_flag
	w.u(1, 1) // direct_8x8_inference_flag
	w.u(2, 0) // frame_cropping_flag, vui_parameters_present_flag
	return w.nal(0x67)
}

// pps returns a PPS (7.3.2.2).
func pps() []byte {
	var w bitWriter
	w.ue(0)   // pic_parameter_set_id
	w.ue(0)   // seq_parameter_set_id
	w.u(2, 0) // entropy_coding_mode_flag, bottom_field_pic_order_in_frame_present_flag
	w.ue(0)   // num_slice_groups_minus1
	w.ue(0)   // num_ref_idx_l0_default_active_minus1
	w.ue(0)   // num_ref_idx_l1_default_active_minus1
	w.u(3, 0) // weighted_pred_flag, weighted_bipred_idc
	w.ue(0)   // pic_init_qp_minus26
	w.ue(0)   // pic_init_qs_minus26
	w.ue(0)   // chroma_qp_index_offset
	w.u(3, 0) // deblocking_filter_control_present_flag, constrained_intra_pred_flag, redundant_pic_cnt_present_flag
	return w.nal(0x68)
}

// bitWriter writes the bits of a NAL unit.
type bitWriter struct {
	b []byte
	n int // how many bits there are
}

// u writes the low n bits of v.
func (w *bitWriter) u(n int, v uint32) {
	for n--; n >= 0; n-- {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>n&1) << (7 - w.n%8)
		w.n++
	}
}

func (w *bitWriter) flag(v bool) {
	if v {
		w.u(1, 1)
	} else {
		w.u(1, 0)
	}
}

// ue writes an Exp-Golomb code.
func (w *bitWriter) ue(v uint32) { w.u(2*bits.Len32(v+1)-1, v+1) }

// align writes zero bits up to the end of the byte.
func (w *bitWriter) align() { w.n = 8 * len(w.b) }

// nal ends the unit and returns it with a start code and emulation prevention bytes.
func (w *bitWriter) nal(header byte) []byte {
	w.u(1, 1) // rbsp_stop_one_bit
	unit := []byte{0, 0, 0, 1, header}
	zeros := 0
	for _, b := range w.b {
		if zeros == 2 && b <= 3 {
			unit, zeros = append(unit, 3), 0
		}
		if unit = append(unit, b); b == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return unit
}
