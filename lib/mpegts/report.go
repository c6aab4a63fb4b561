package mpegts

// Report is what a Checker has found in a stream.
type Report struct {
	// Packets counts all packets that were in sync.
	Packets int64 `json:"packets"`
	// Frames counts the access units of the video, Keyframes those of them at which decoding can start.
	Frames    int64 `json:"frames"`
	Keyframes int64 `json:"keyframes"`
	// SyncErrors counts runs of bytes, however long, that are no packets. A packet cut off by the stream's end is
	// one.
	SyncErrors int64 `json:"sync_errors"`
	// ContinuityErrors counts packets whose continuity counter does not fit the packet before on the same PID
	// (ISO/IEC 13818-1, 2.4.3.3). A packet may be sent twice, not three times.
	ContinuityErrors int64 `json:"continuity_errors"`
	// Lost is how many packets are missing before these, as far as the counters tell: modulo 16, and also where
	// packets come in another order. A counter that stands still counts as a packet that was repeated.
	Lost int64 `json:"lost"`
	// Gaps counts announced gaps. A gap begins where an elementary PID that has been seen before sets
	// discontinuity_indicator. It is one gap for all PIDs: it ends when each elementary PID of the program has
	// carried payload since, or when a PID that has announced it announces again.
	Gaps int64 `json:"gaps"`
	// SetsMissing counts pictures that would be keyframes if their parameter sets had come.
	SetsMissing int64 `json:"sets_missing"`
	// StartsAtKeyframe: PAT and PMT come before the first packet of any stream, and the first picture of the video is
	// a keyframe with its parameter sets. Audio may come before it.
	StartsAtKeyframe bool `json:"starts_at_keyframe"`
	// PATs and PMTs count the tables with a right CRC, TableErrors those with a wrong one and those that are cut
	// short.
	PATs        int64 `json:"pats"`
	PMTs        int64 `json:"pmts"`
	TableErrors int64 `json:"table_errors"`
	// TransportErrors counts packets with transport_error_indicator. Nothing else in them is looked at.
	TransportErrors int64 `json:"transport_errors"`
	// Duplicates counts packets sent for the second time.
	Duplicates int64 `json:"duplicates"`
	// TimestampErrors counts DTS (PTS where there is no DTS) of audio and video that go back, or are more than
	// MaxTimestampInterval after the one before (ISO/IEC 13818-1, 2.7.4), except after an announced gap; and PTS that
	// are before their DTS or too far after it (2.4.2.6: 10 s; 1 s in MPEG-1 and MPEG-2 video). PES packets without a
	// timestamp count once each time that the PCR has advanced by the sum of both limits.
	TimestampErrors int64 `json:"timestamp_errors"`
	// GOPMin and GOPMax are the fewest and the most frames from one keyframe to the next, 0 before the second
	// keyframe.
	GOPMin int64 `json:"gop_min"`
	GOPMax int64 `json:"gop_max"`
	// PCRs counts program clock references, PCRErrors those that go back or come too late after the one before. Where
	// no more come, it counts each time that the DTS has advanced by MaxPCRInterval and 10 s (MPEG-1 and MPEG-2
	// video: 1 s).
	PCRs      int64 `json:"pcrs"`
	PCRErrors int64 `json:"pcr_errors"`
	// PCRIntervalMax is the longest time from one PCR to the next, by their own values, in ms.
	PCRIntervalMax float64 `json:"pcr_interval_max_ms"`
}
