package mpegts

import (
	"bytes"
	"slices"
)

// ParameterSets are what a decoder needs before the first picture: SPS and PPS of H.264, with VPS of HEVC, or a
// sequence header. They do not change once made.
type ParameterSets struct {
	data []byte // as in the elementary stream, with start codes
}

// AppendPES appends the packets of a PES packet that carries the sets alone, to be put right before keyframe, the
// first packet of an access unit. It has the PID, the timestamps and the stream_id of keyframe and
// random_access_indicator, and its continuity counters lead up to keyframe's. Where keyframe has no PTS nothing is
// appended: decoders abort on such a PES packet without one.
func (s *ParameterSets) AppendPES(dst []byte, keyframe Packet) []byte {
	header := keyframe.pesHeader()
	if _, ok := keyframe.PTS(); !ok {
		return dst
	}
	flags, timestamps := byte(0x80), header[9:14]
	if header[7]&0xC0 == 0xC0 && len(header) >= 19 {
		flags, timestamps = 0xC0, header[9:19]
	}
	pes := []byte{0, 0, 1, header[3], 0, 0, 0x80, flags, byte(len(timestamps))}
	pes = append(append(pes, timestamps...), s.data...)
	if n := len(pes) - 6; n <= 0xFFFF { // else 0: of unbounded length
		pes[4], pes[5] = byte(n>>8), byte(n)
	}
	return appendPES(dst, keyframe, pes)
}

// appendPES cuts a PES packet into transport packets on the PID of next, which follows them. The first has
// random_access_indicator set, the last is filled up in the adaptation field.
func appendPES(dst []byte, next Packet, pes []byte) []byte {
	const firstRoom, room = PacketSize - 6, PacketSize - 4
	n := 1
	if len(pes) > firstRoom {
		n += (len(pes) - firstRoom + room - 1) / room
	}
	counter := next.Continuity() - byte(n)
	for i := range n {
		header := [6]byte{SyncByte, next[1] & 0x1F, next[2], 0x10 | (counter+byte(i))&0x0F}
		adaptation := 0 // its length, with the length byte
		if i == 0 {
			header[1] |= 0x40
			header[5] = 0x40
			adaptation = 2
		}
		part := min(len(pes), room-adaptation)
		adaptation = room - part
		if adaptation > 0 {
			header[3] |= 0x20
			header[4] = byte(adaptation - 1)
		}
		dst = append(dst, header[:4+min(adaptation, 2)]...)
		for range adaptation - 2 {
			dst = append(dst, 0xFF)
		}
		dst = append(dst, pes[:part]...)
		pes = pes[part:]
	}
	return dst
}

// setKind orders the parameter sets as a decoder needs them.
type setKind uint8

const (
	sequenceSet setKind = iota // sequence header of MPEG-1 and MPEG-2 video, with its extensions
	videoSet                   // VPS
	seqSet                     // SPS
	pictureSet                 // PPS
)

// Bounds of what is kept of a stream's parameter sets.
const (
	maxSetSize   = 2048
	maxSets      = 64
	maxSetsBytes = 16 << 10
)

// parameterSet is one of the sets that a stream has sent.
type parameterSet struct {
	kind   setKind
	id     uint32
	refers uint32 // id of the SPS that a PPS refers to, of the VPS that an SPS refers to
	unit   uint32 // number of the access unit that carried it last
	data   []byte // without start code; of a sequenceSet with the start codes inside
	slices sliceForm
}

// setStore keeps the last parameter set of each kind and id, ordered by both.
type setStore struct {
	sets     []parameterSet
	size     int
	active   []byte         // identity of the sets of the last keyframe
	start    keyframeStart  // of the last keyframe
	snapshot *ParameterSets // what ParameterSets returned last
	scratch  []byte
}

// reset forgets all sets, as after a change of the codec.
func (s *setStore) reset() {
	s.sets, s.size, s.active, s.snapshot = s.sets[:0], 0, s.active[:0], nil
	s.start.forget()
}

// repeats reports whether a set is one that is kept already, and notes that the access unit of the given number carries
// it. This is so for most, and spares the reading of their ids.
func (s *setStore) repeats(kind setKind, unit uint32, data []byte) bool {
	for i := range s.sets {
		if p := &s.sets[i]; p.kind == kind && bytes.Equal(p.data, data) {
			p.unit = unit
			return true
		}
	}
	return false
}

// put keeps a set that was found in the access unit of the given number. It returns nil if the set is the same as
// before.
func (s *setStore) put(kind setKind, id, refers, unit uint32, data []byte) *parameterSet {
	i, found := slices.BinarySearchFunc(s.sets, parameterSet{kind: kind, id: id}, func(a, b parameterSet) int {
		return int(a.kind)<<16 + int(a.id) - int(b.kind)<<16 - int(b.id)
	})
	if found && bytes.Equal(s.sets[i].data, data) {
		s.sets[i].unit = unit
		return nil
	}
	s.start.forget()
	if found {
		s.remove(i)
	}
	if len(s.sets) == maxSets || s.size+len(data) > maxSetsBytes {
		s.sets, s.size, i = s.sets[:0], 0, 0
	}
	if kind == seqSet {
		// Its PPS mean something else now, but for those that came with it.
		for n := len(s.sets) - 1; n >= 0; n-- {
			if p := s.sets[n]; p.kind == pictureSet && p.refers == id && p.unit != unit {
				s.remove(n)
			}
		}
	}
	s.size += len(data)
	s.sets = slices.Insert(s.sets, i, parameterSet{
		kind: kind, id: id, refers: refers, unit: unit, data: bytes.Clone(data),
	})
	return &s.sets[i]
}

func (s *setStore) remove(i int) {
	s.size -= len(s.sets[i].data)
	s.sets = slices.Delete(s.sets, i, i+1)
}

func (s *setStore) get(kind setKind, id uint32) *parameterSet {
	for i := range s.sets {
		if p := &s.sets[i]; p.kind == kind && p.id == id {
			return p
		}
	}
	return nil
}

// carried returns the SPS that an access unit carries together with a PPS, nil if it does not.
func (s *setStore) carried(unit uint32) (sps []byte) {
	for _, p := range s.sets {
		if p.kind != pictureSet || p.unit != unit {
			continue
		}
		if set := s.get(seqSet, p.refers); set != nil && set.unit == unit {
			return set.data
		}
	}
	return nil
}

// all returns all sets, nil when there are none.
func (s *setStore) all() *ParameterSets {
	s.scratch = s.scratch[:0]
	for _, p := range s.sets {
		if p.kind != sequenceSet {
			s.scratch = append(s.scratch, 0, 0, 0, 1)
		}
		s.scratch = append(s.scratch, p.data...)
	}
	if len(s.scratch) == 0 {
		return nil
	}
	if s.snapshot == nil || !bytes.Equal(s.snapshot.data, s.scratch) {
		s.snapshot = &ParameterSets{bytes.Clone(s.scratch)}
	}
	return s.snapshot
}

// activate takes the identity of the sets that a keyframe uses, and reports whether it differs from that of the
// keyframe before.
func (s *setStore) activate(identity []byte) (changed bool) {
	if bytes.Equal(s.active, identity) {
		return false
	}
	s.start.forget()
	changed = len(s.active) > 0
	s.active = append(s.active[:0], identity...)
	return changed
}
