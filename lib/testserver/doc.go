// Package testserver is a websocket server for tests: it takes whatever publishers send, checks it, measures it, and
// gives a verdict. It is what the command vw-testserver runs, made to be used in Go tests as well.
//
//	server, err := testserver.New(testserver.Options{Listen: "127.0.0.1:0", Conns: 1})
//	… // have something publish to server.URL()
//	report, err := server.Wait(ctx)
//
// A connection is read in one place (connection.receive), which stamps each message when its last byte has been read
// and puts the bytes into memory. Everything else is done with them behind that, in a goroutine for each connection:
// a sink takes the bytes in order (the hash, the check of MPEG-TS, the file, what expectations watch). At most 4 MiB
// wait there; then the connection is not read until there is room.
package testserver
