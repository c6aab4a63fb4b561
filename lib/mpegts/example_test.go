package mpegts_test

import (
	"fmt"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// A Scanner finds where a stream can be cut so that the second part plays alone.
func ExampleScanner() {
	stream := tsgen.Frames(tsgen.Options{GOP: 3, KeyPackets: 2}, 6)
	var scanner mpegts.Scanner
	for i := 0; i < len(stream); i += mpegts.PacketSize {
		mark := scanner.Packet(stream[i : i+mpegts.PacketSize])
		if mark&mpegts.RandomAccess != 0 {
			fmt.Println("decoding can start at packet", i/mpegts.PacketSize)
		}
	}
	tables, _ := scanner.Tables()
	fmt.Printf("PMT on PID 0x%04x, %v on PID 0x%04x\n", tables.PMTPID, tables.Streams[0].Type, tables.Streams[0].PID)
	// Output:
	// decoding can start at packet 2
	// decoding can start at packet 8
	// PMT on PID 0x1000, MPEG-2 video on PID 0x0100
}

// A Checker counts what is wrong with a stream. Here one packet is missing.
func ExampleChecker() {
	stream := tsgen.Frames(tsgen.Options{GOP: 3, FramePackets: 4}, 6)
	checker := mpegts.NewChecker()
	checker.Write(stream[:5*mpegts.PacketSize])
	checker.Write(stream[6*mpegts.PacketSize:])
	checker.End()
	report := checker.Report()
	fmt.Println(report.Frames, "frames,", report.ContinuityErrors, "continuity error,", report.Lost, "packet lost")
	// Output:
	// 6 frames, 1 continuity error, 1 packet lost
}

// A file or connection that begins in mid-stream needs the PAT and the PMT in front.
func ExampleTables_Append() {
	stream := tsgen.Frames(tsgen.Options{GOP: 5, NoTables: true}, 10)
	var scanner mpegts.Scanner
	for i := 0; i < len(stream); i += mpegts.PacketSize {
		scanner.Packet(stream[i : i+mpegts.PacketSize])
	}
	tables, counters := scanner.Tables()
	front := tables.Append(nil, counters)
	fmt.Println(len(front)/mpegts.PacketSize, "packets to put in front")
	// Output:
	// 2 packets to put in front
}

// A gap inside a stream is announced for each PID, so that decoders do not report an error.
func ExampleAppendDiscontinuity() {
	next := mpegts.Packet(tsgen.Frames(tsgen.Options{}, 1)[2*mpegts.PacketSize:])
	announcement := mpegts.Packet(mpegts.AppendDiscontinuity(nil, next))
	fmt.Println(announcement.PID() == next.PID(), announcement.Discontinuity(), announcement.HasPayload())
	// Output:
	// true true false
}

func ExampleClockDiff() {
	before, after := uint64(mpegts.ClockModulus-mpegts.ClockRate), uint64(mpegts.ClockRate)
	fmt.Println(mpegts.ClockDiff(after, before)/mpegts.ClockRate, "s over the wrap")
	// Output:
	// 2 s over the wrap
}
