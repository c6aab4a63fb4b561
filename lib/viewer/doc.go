// Package viewer lets browsers and other viewers watch a stream: it accepts websockets, begins each with the current
// group of pictures from memory, and writes the stream to all of them without ever waiting for one. It also serves the
// page that plays the stream (package page) and what the page and machines ask for: /stream.json, /healthz, /metrics.
//
// Everything below one of the server's base paths ("/", and with tokens "/TOKEN/") is named relative to it:
//
//	(empty)      the page: index.html of the page's files
//	embed        the picture alone: embed.html of the page's files
//	assets/NAME  the other files of the page: scripts, styles, players
//	stream.json  what the stream is: Status
//	healthz      200 while the stream flows, else 503
//	metrics      Prometheus text
//
// Any other path is the stream, for websocket handshakes; the page asks for "stream". ?start=next begins at the next
// keyframe instead of the current group of pictures.
//
// Close codes say what happened (RFC 6455, 7.4.1): 1001 the stream has ended, 1012 it begins anew and the viewer should
// connect again at once, 1008 the token is no longer valid.
//
// It is vw's own and may change.
package viewer
