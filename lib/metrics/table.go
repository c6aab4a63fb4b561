package metrics

// The table of metric names. docs/metrics.md shows it to users; a test compares the two.
var (
	Started   = metric("vw_start_time_seconds", gauge, "When the tool began, in seconds since 1970.")
	Ended     = metric("vw_end_time_seconds", gauge, "When the tool ended, in seconds since 1970.")
	InBytes   = metric("vw_in_bytes_total", counter, "Bytes read.")
	InPackets = metric("vw_in_packets_total", counter, "MPEG-TS packets read.")
	Frames    = metric("vw_frames_total", counter, "Access units of the video that began.")
	Keyframes = metric("vw_keyframes_total", counter, "Keyframes that began.")

	OutIn               = metric("vw_output_in_bytes_total", counter, "Bytes read for the output.")
	OutDelivered        = metric("vw_output_delivered_bytes_total", counter, "Bytes delivered and confirmed.")
	OutUnconfirmed      = metric("vw_output_unconfirmed_bytes", gauge, "Bytes handed over and not confirmed yet.")
	OutHeld             = metric("vw_output_held_bytes", gauge, "Bytes that wait.")
	OutDropped          = metric("vw_output_dropped_bytes_total", counter, "Bytes dropped, by reason.")
	OutDeliveredPackets = metric("vw_output_delivered_packets_total", counter,
		"MPEG-TS packets delivered and confirmed.")
	OutDroppedPackets = metric("vw_output_dropped_packets_total", counter, "MPEG-TS packets dropped, by reason.")
	OutWritten        = metric("vw_output_written_bytes_total", counter, "Bytes written, those written again included.")
	OutResent         = metric("vw_output_resent_bytes_total", counter, "Bytes written again on a new connection.")
	OutInjected       = metric("vw_output_injected_bytes_total", counter, "Bytes put in front of the stream's own.")
	OutMessages       = metric("vw_output_messages_total", counter, "Messages sent.")
	OutConnects       = metric("vw_output_connects_total", counter, "Connections made.")
	OutSegments       = metric("vw_output_segments_total", counter, "Files finished.")
	OutUncarried      = metric("vw_output_uncarried_total", counter,
		"Files deleted before the command of --exec had succeeded.")

	Publisher      = metric("vw_publisher", gauge, "1 while there is a publisher.")
	PublisherSince = metric("vw_publisher_since_seconds", gauge,
		"Since when there is one, in seconds since 1970; 0: there is none.")
	Publishers = metric("vw_publishers_total", counter, "Publishers that were let in.")
	Refused    = metric("vw_refused_total", counter,
		"Clients that were refused, by the status of the answer; 0: closed without one.")
	Connections = metric("vw_connections", gauge, "Open connections, by state.")

	Viewers    = metric("vw_viewers", gauge, "Viewers that are connected.")
	ViewerLag  = metric("vw_viewer_lag_seconds", gauge, "How long the slowest viewer has not taken what waits for it.")
	StreamLive = metric("vw_stream_live", gauge, "1 while the stream flows.")
)

const (
	counter = "counter"
	gauge   = "gauge"
)

// Table lists all metrics in the order of the documentation.
var Table []*Metric

func metric(name, kind, help string) *Metric {
	m := &Metric{name, kind, help}
	Table = append(Table, m)
	return m
}
