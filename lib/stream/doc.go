// Package stream is what flows through vw: chunks of a stream, the reader that cuts them, the queue in which they wait
// or are dropped, and the ledger that counts them at both ends of the queue. It is vw's own and may change.
//
// Data flows one way:
//
//	io.Reader ─▶ Reader ─▶ Chunk ─▶ Queue ─▶ Delivery ─▶ a consumer
//
// The package knows MPEG-TS through lib/mpegts and does not know where bytes come from or go to.
package stream
