package record

import "golang.org/x/sys/unix"

// clockIsSynchronised reports whether the kernel calls the wall clock synchronised. It is true if the kernel does not
// tell.
func clockIsSynchronised() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err != nil || state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}
