// Package testserver is a websocket server for tests: it receives what publishers send, checks it, measures it,
// misbehaves on request, and gives a verdict. The command vw-testserver runs it; Go tests can run it
// themselves:
//
//	func TestPipeline(t *testing.T) {
//		server := testserver.Start(t, testserver.Options{
//			Conns:        1,
//			Faults:       []testserver.Fault{{AfterBytes: 1 << 20, Do: testserver.Stall{For: time.Second}}},
//			Expectations: []testserver.Expectation{testserver.ExpectClean("/cam1")},
//		})
//		publish(server.URL() + "/cam1") // the code under test
//	} // the cleanup waits for the connection's end, and fails the test if an expectation failed
//
// # How a message passes through
//
// Each connection is read by one goroutine (connection.receive), which stamps each message as soon as its last byte has
// been read, and puts the bytes into memory. A second goroutine takes them out in order and hashes, checks and saves
// them and gives them to the expectations. When 4 MiB are in memory, the connection is not read until there is room.
package testserver
