// Package fdio reads and writes descriptors that are in Go's poller at the least cost per call.
//
// An ordinary read or write informs the scheduler of each system call, since it may block, and the first one after a
// pause wakes the runtime's monitoring thread for that: two thread switches and a few short sleeps for each frame of a
// camera, which is a third of all CPU of a tool that does nothing else. A descriptor in the poller never blocks, so
// here the scheduler does not learn of the call. Elsewhere than on Linux these are the ordinary calls.
//
// It is vw's own and may change.
package fdio
