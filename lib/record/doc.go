// Package record writes a stream to files that follow each other: it decides where one ends and the next begins, sees to
// it that each plays alone and bears its name only when it is whole and on the disk, keeps what a crash left, and writes
// the list of what was recorded.
//
// Data flows one way, and nothing waits for the disk but the goroutines behind the queue:
//
//	input ─▶ stream.Reader ─▶ stream.Queue ─▶ writer ─▶ finisher
//	                     └──▶ stream.Queue ─▶ standard output
//
// The writer fills files under temporary names. The finisher syncs them, gives them their names and confirms their bytes
// to the queue, while the writer is at the next file. How bytes wait and what is dropped is for package stream.
package record
