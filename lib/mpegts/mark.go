package mpegts

// Mark says what a packet is to somebody who cuts or counts a stream.
type Mark uint32

const (
	// PSI: the packet carries a table or nothing. It belongs to what follows it.
	PSI Mark = 1 << iota
	// PAT and PMT: a table of the program is complete with this packet.
	PAT
	PMT
	// RandomAccess: decoding can start at this packet, after PAT, PMT and the parameter sets.
	RandomAccess
	// AccessUnit: at least one access unit of the video begins in this packet. AccessUnits says how many.
	AccessUnit
	// Undecided: an access unit may begin in this packet, or decoding may be able to start at it. A later packet
	// tells; its mark has Decided set. At most one packet is undecided at a time.
	Undecided
	// Decided: it is known now what the packet is that was marked Undecided last. Scanner.Decision returns its mark.
	Decided
	// Changed: the stream is a new one from this packet on. Scanner.Change says in what.
	Changed
	// MissesSets: a keyframe begins in this packet whose access unit does not carry all the parameter sets that it
	// needs. With RandomAccess they have come before, and Scanner.MissingSets returns them. Without, they have not,
	// and the keyframe cannot be decoded.
	MissesSets

	unitsShift     = 16
	keyframesShift = 24
	maxMarkCount   = 0xFF
)

// AccessUnits returns the number of access units that begin in the packet.
func (m Mark) AccessUnits() int { return int(m >> unitsShift & maxMarkCount) }

// Keyframes returns the number of those access units that are keyframes. It may be greater than 0 without
// RandomAccess: a keyframe that begins in the middle of a PES packet counts, but a cut cannot be made there.
func (m Mark) Keyframes() int { return int(m >> keyframesShift & maxMarkCount) }

// plusUnit adds an access unit.
func (m Mark) plusUnit(keyframe bool) Mark {
	if m.AccessUnits() == maxMarkCount {
		return m
	}
	m = (m | AccessUnit) + 1<<unitsShift
	if keyframe {
		m += 1 << keyframesShift
	}
	return m
}
