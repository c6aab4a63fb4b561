package mpegts_test

import (
	"bytes"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// mutation is a damage to a stream.
type mutation struct {
	which  func(mpegts.Packet) bool
	n      int
	mutate func(b []byte, at int) []byte
	want   func(*mpegts.Report)
	says   string
}

func innerPacket(p mpegts.Packet) bool { return p.PID() == tsgen.VideoPID && !p.PayloadUnitStart() }

func ofPID(pid uint16) func(mpegts.Packet) bool {
	return func(p mpegts.Packet) bool { return p.PID() == pid }
}

// mutations of a stream, each with what the checker reports. A mutation gets the stream and the offset of a packet. In
// what is said, @, @1 and @2 are the offsets of this packet and of the next ones, # is its number, and $ the offset of
// an incomplete packet at the end.
var mutations = map[string]mutation{
	"nothing": {innerPacket, 20, func(b []byte, at int) []byte { return b }, func(f *mpegts.Report) {}, ""},
	"a packet dropped": {innerPacket, 20,
		func(b []byte, at int) []byte { return append(b[:at], b[at+mpegts.PacketSize:]...) },
		func(f *mpegts.Report) { f.Packets--; f.ContinuityErrors++; f.Lost++ },
		"1 continuity errors, the first at byte @ ("},
	"a packet sent twice": {innerPacket, 20,
		func(b []byte, at int) []byte { return bytes.Join([][]byte{b[:at+mpegts.PacketSize], b[at:]}, nil) },
		func(f *mpegts.Report) { f.Packets++; f.Duplicates++ }, ""},
	"a packet sent three times": {innerPacket, 20,
		func(b []byte, at int) []byte {
			return bytes.Join([][]byte{b[:at+mpegts.PacketSize], b[at : at+mpegts.PacketSize], b[at:]}, nil)
		},
		func(f *mpegts.Report) { f.Packets += 2; f.Duplicates++; f.ContinuityErrors++ },
		"1 continuity errors, the first at byte @2 ("},
	"a counter repeated over other bytes": {innerPacket, 20,
		func(b []byte, at int) []byte {
			other := bytes.Clone(b[at : at+mpegts.PacketSize])
			other[100] ^= 1
			return bytes.Join([][]byte{b[:at+mpegts.PacketSize], other, b[at+mpegts.PacketSize:]}, nil)
		},
		func(f *mpegts.Report) {
			f.Packets++
			f.ContinuityErrors++
		}, "1 continuity errors, the first at byte @1 ("},
	"two packets swapped": {
		func(p mpegts.Packet) bool { return innerPacket(p) && p.Continuity() == 5 }, 3,
		func(b []byte, at int) []byte {
			next := at + mpegts.PacketSize
			for mpegts.Packet(b[next:next+mpegts.PacketSize]).PID() != tsgen.VideoPID {
				next += mpegts.PacketSize
			}
			first := bytes.Clone(b[at : at+mpegts.PacketSize])
			copy(b[at:], b[next:next+mpegts.PacketSize])
			copy(b[next:], first)
			return b
		},
		func(f *mpegts.Report) { f.ContinuityErrors += 3; f.Lost += 16 },
		"3 continuity errors, the first at byte @ (packet #, PID 0x0100): counter 6 instead of 5"},
	"the sync byte flipped": {innerPacket, 20,
		func(b []byte, at int) []byte { b[at] ^= 0x10; return b },
		func(f *mpegts.Report) { f.Packets--; f.SyncErrors++; f.ContinuityErrors++; f.Lost++ },
		"1 sync errors, the first at byte @ ["},
	"the counter flipped": {innerPacket, 20,
		func(b []byte, at int) []byte { b[at+3] ^= 0x08; return b },
		func(f *mpegts.Report) {
			f.ContinuityErrors += 2
			f.Lost += 16
		}, "2 continuity errors, the first at byte @ ("},
	"the transport error indicator set": {innerPacket, 20,
		func(b []byte, at int) []byte { b[at+1] |= 0x80; return b },
		func(f *mpegts.Report) { f.TransportErrors++; f.ContinuityErrors++; f.Lost++ },
		"1 transport errors, the first at byte @ ("},
	"junk between packets": {innerPacket, 20,
		func(b []byte, at int) []byte { return bytes.Join([][]byte{b[:at], make([]byte, 5000), b[at:]}, nil) },
		func(f *mpegts.Report) { f.SyncErrors++ }, "1 sync errors, the first at byte @ ["},
	"a PAT's bit flipped": {ofPID(mpegts.PIDPAT), 1,
		func(b []byte, at int) []byte { b[at+5+9] ^= 1; return b },
		func(f *mpegts.Report) { f.PATs--; f.TableErrors++ },
		"1 table errors, the first at byte @ (packet #, PID 0x0000): wrong CRC"},
	"a PMT's CRC broken": {ofPID(tsgen.PMTPID), 1,
		func(b []byte, at int) []byte { b[at+5+20] ^= 1; return b },
		func(f *mpegts.Report) { f.PMTs--; f.TableErrors++ },
		"1 table errors, the first at byte @ (packet #, PID 0x1000): wrong CRC"},
	"a PAT's length too long": {ofPID(mpegts.PIDPAT), 1,
		func(b []byte, at int) []byte { b[at+5+2] = 0xFF; return b },
		func(f *mpegts.Report) { f.PATs--; f.TableErrors++ },
		"1 table errors, the first at byte @ (packet #, PID 0x0000): a section is cut short"},
	"a PAT's pointer beyond the packet": {ofPID(mpegts.PIDPAT), 1,
		func(b []byte, at int) []byte { b[at+4] = 200; return b },
		func(f *mpegts.Report) { f.PATs--; f.TableErrors++ },
		"1 table errors, the first at byte @ (packet #, PID 0x0000): a section is cut short"},
	"the first PAT removed": {ofPID(mpegts.PIDPAT), 0,
		func(b []byte, at int) []byte { return append(b[:at], b[at+mpegts.PacketSize:]...) },
		func(f *mpegts.Report) { f.Packets--; f.PATs--; f.PMTs--; f.StartsAtKeyframe = false }, "does not start"},
	"a packet announced as lost": {innerPacket, 20,
		func(b []byte, at int) []byte {
			gap := mpegts.AppendDiscontinuity(nil, b[at+mpegts.PacketSize:at+2*mpegts.PacketSize])
			return bytes.Join([][]byte{b[:at], gap, b[at+mpegts.PacketSize:]}, nil)
		},
		func(f *mpegts.Report) { f.Gaps++ }, ""},
	"the end torn": {innerPacket, 20,
		func(b []byte, at int) []byte { return b[:len(b)-88] },
		func(f *mpegts.Report) { f.Packets--; f.SyncErrors++ }, "1 sync errors, the first at byte $ ["},
	"all PMTs removed": {innerPacket, 20,
		func(b []byte, at int) []byte {
			return filtered(b, func(p mpegts.Packet) bool { return !ofPID(tsgen.PMTPID)(p) })
		},
		func(f *mpegts.Report) { f.Packets -= f.PMTs; f.PMTs, f.StartsAtKeyframe = 0, false },
		"no PMT\ndoes not start at a keyframe"},
	"all PATs removed": {innerPacket, 20,
		func(b []byte, at int) []byte {
			return filtered(b, func(p mpegts.Packet) bool { return !ofPID(mpegts.PIDPAT)(p) })
		},
		func(f *mpegts.Report) { f.Packets -= f.PATs; f.PATs, f.PMTs, f.StartsAtKeyframe = 0, 0, false },
		"no PAT\nno PMT"},
}
