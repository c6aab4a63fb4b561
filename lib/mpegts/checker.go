package mpegts

import (
	"fmt"
	"hash/maphash"
	"time"
)

// Checker checks a stream against ISO/IEC 13818-1 and counts what is wrong with it. It is an io.Writer that never
// fails, and takes the stream in pieces of any size. NewChecker makes one.
//
// Unlike Scanner, which believes the stream that it cuts, a Checker believes nothing. It holds about 4 KiB, and 32
// bytes for each PID of the stream.
type Checker struct {
	// MaxPCRInterval is the longest time allowed between two PCRs. NewChecker sets it to DefaultPCRInterval; change
	// it before the first Write. (ffmpeg with a variable bit rate writes one PCR a frame: too few below 10 frames a
	// second.)
	MaxPCRInterval time.Duration
	// MaxTimestampInterval is the longest time allowed from one DTS of an audio or video stream to the next.
	// NewChecker sets it to DefaultTimestampInterval; change it before the first Write, for a stream of one frame a
	// second for example.
	MaxTimestampInterval time.Duration
	// OnPCR, unless nil, is called for each PCR during the Write that completes its packet. Advance is how far the
	// PCR is ahead of the one before on the same PID. Follows is false, and advance means nothing, for the first PCR
	// of a PID and for the first after an announced gap.
	OnPCR func(pid uint16, advance time.Duration, follows bool)

	report       Report
	scan         Scanner
	clocks       clocks
	opening      Opening
	tables       *Tables // in force when the last packet was checked
	packetsByPID map[uint16]int64
	pids         map[uint16]*pidState
	seed         maphash.Seed           // of pidState.hash
	psi          map[uint16]*checkedPSI // the PAT's PID and those of the PMTs that it names
	problems     map[problemKind]string // the first of each kind
	offset       int64                  // in the stream, of the packet that is being checked
	lastKeyframe int64                  // number of the frame that was the last keyframe, from 1

	synced           bool
	syncErrorCounted bool   // these bytes out of sync are in SyncErrors
	pending          []byte // in sync: the first part of a packet; else bytes that may be packets

	announcedPIDs []uint16 // PIDs that have announced the gap that is open
	awaitedPIDs   []uint16 // elementary PIDs that have carried no payload since the gap began
}

// problemKind names a kind of problem in the words of Problems.
type problemKind string

const (
	syncProblem       problemKind = "sync"
	transportProblem  problemKind = "transport"
	continuityProblem problemKind = "continuity"
	tableProblem      problemKind = "table"
	timestampProblem  problemKind = "timestamp"
	pcrProblem        problemKind = "PCR"
)

// sampleLen is how many bytes of a faulty packet Problems shows.
const sampleLen = 16

// NewChecker returns a Checker for one stream.
func NewChecker() *Checker {
	return &Checker{
		MaxPCRInterval:       DefaultPCRInterval,
		MaxTimestampInterval: DefaultTimestampInterval,

		clocks:       clocks{dts: make(map[uint16]uint64), pcr: make(map[uint16]uint64)},
		packetsByPID: make(map[uint16]int64),
		pids:         make(map[uint16]*pidState),
		seed:         maphash.MakeSeed(),
		psi:          map[uint16]*checkedPSI{PIDPAT: new(checkedPSI)},
		problems:     make(map[problemKind]string),
	}
}

// Report returns the counts so far. They are final after End.
func (c *Checker) Report() Report { return c.report }

// Problems returns one line for each kind of problem in the stream, with the place of the first.
func (c *Checker) Problems() []string {
	var lines []string
	for _, t := range []struct {
		n    int64
		kind problemKind
	}{
		{c.report.SyncErrors, syncProblem}, {c.report.TransportErrors, transportProblem},
		{c.report.ContinuityErrors, continuityProblem}, {c.report.TableErrors, tableProblem},
		{c.report.TimestampErrors, timestampProblem}, {c.report.PCRErrors, pcrProblem},
	} {
		if t.n > 0 {
			lines = append(lines, fmt.Sprintf("%d %s errors, the first %s", t.n, t.kind, c.problems[t.kind]))
		}
	}
	if c.report.PATs == 0 {
		lines = append(lines, "no PAT")
	}
	if c.report.PMTs == 0 {
		lines = append(lines, "no PMT")
	}
	if c.clocks.pcrExpected && c.report.PCRs == 0 {
		lines = append(lines, "no PCR")
	}
	if s := c.clocks.stalled; s.missingSeen && !s.timestampsSeen && c.report.Keyframes > 0 {
		lines = append(lines, "no PTS")
	}
	if c.report.SetsMissing > 0 {
		lines = append(lines, fmt.Sprintf("%d keyframes whose parameter sets have not come", c.report.SetsMissing))
	}
	if !c.report.StartsAtKeyframe {
		lines = append(lines, "does not start at a keyframe")
	}
	return lines
}

// record keeps the first problem of a kind, with the first bytes of the packet where it was found.
func (c *Checker) record(kind problemKind, packet []byte, format string, args ...any) {
	if c.problems[kind] == "" {
		c.problems[kind] = fmt.Sprintf(format, args...) + fmt.Sprintf(" [% x …]", packet[:min(len(packet), sampleLen)])
	}
}
