// Package ingest lets publishers in, one at a time, over HTTP (POST or PUT) and over websockets, or fetches the stream of
// a websocket server, and writes the streams one after the other to one output, spliced between packets.
//
// It answers requests by itself: net/http parses their headers and hands the connection over before a byte of a body is
// read, because its own way to refuse reads on for a while, and a publisher such as ffmpeg, which never looks at the
// response, would not notice. Flags, signals and standard output are lib/cli's; cutting and holding the stream are
// lib/stream's.
package ingest
