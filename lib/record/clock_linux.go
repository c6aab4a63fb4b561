package record

import "golang.org/x/sys/unix"

// clockIsSynchronised reports what the kernel says of the wall clock. A kernel that says nothing is taken at its word.
func clockIsSynchronised() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err != nil || state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}
