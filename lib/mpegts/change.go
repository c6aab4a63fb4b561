package mpegts

// Change says what is new in a stream from some place on.
type Change uint8

const (
	// ClockJump: the clock of the video went back or ahead, as after a restart of the encoder.
	ClockJump Change = 1 << iota
	// SetsChanged: the parameter sets differ from those before.
	SetsChanged
	// CodecChanged: stream types or PIDs of the program's video or audio differ, so that no decoder survives it in
	// one stream.
	CodecChanged
	// TablesChanged: the PMT differs in something else. Nothing begins anew.
	TablesChanged
)
