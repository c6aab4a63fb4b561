// Package ingest accepts publishers, one at a time, over HTTP (POST or PUT) and over websockets, or dials a websocket
// server. It writes their streams one after the other to one output, spliced between packets.
//
// It answers requests itself: net/http parses a header and hands the connection over before a byte of the body is read.
// net/http's own refusal would read on for a while, and a publisher such as ffmpeg, which never looks at the response,
// would not notice it. Flags, signals and standard output belong to lib/cli, cutting and queueing to lib/stream. The
// package is vw's own and may change.
package ingest
