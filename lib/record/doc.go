// Package record writes a stream to files that follow each other. It decides where a file ends and the next begins,
// gives a file its name only when it is whole, playable and on the disk, recovers what a crash left, and lists what was
// recorded.
//
// Data flows one way, and only the goroutines after the queue wait for the disk:
//
//	input ─▶ stream.Reader ─▶ stream.Queue ─▶ writer ─▶ finalizer
//	                     └──▶ stream.Queue ─▶ standard output
//
// The writer fills files under temporary names. The finalizer syncs them, names them and confirms their bytes to the
// queue while the writer fills the next file. Package stream decides how bytes wait and what is dropped.
//
// It is vw's own and may change.
package record
