package testserver

import "time"

// jitter compares the arrival of PCRs with what they say. From one PCR of a PID to the next, both should advance alike;
// the difference needs no clock in common with the sender, and does not grow when its clock drifts.
type jitter struct {
	now  time.Time            // when the bytes came that are being checked
	last map[uint16]time.Time // the arrival of each PID's last PCR
	max  time.Duration
	us   histogram
}

// pcr takes a PCR, as mpegts.Checker tells of it.
func (j *jitter) pcr(pid uint16, advance time.Duration, follows bool) {
	if follows && advance >= 0 { // one that goes back is an error, and says nothing of the network
		d := (j.now.Sub(j.last[pid]) - advance).Abs()
		j.max = max(j.max, d)
		j.us.add(d.Microseconds())
	}
	if j.last == nil {
		j.last = make(map[uint16]time.Time)
	}
	j.last[pid] = j.now
}

func (j *jitter) result() Intervals { return j.us.intervals(j.max) }
