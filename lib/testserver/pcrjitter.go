package testserver

import "time"

// pcrJitter measures how much the time between the arrivals of two PCRs of a PID differs from the time between the
// PCRs. That needs no clock in common with the sender, and does not grow when its clock drifts.
type pcrJitter struct {
	now  time.Time            // when the bytes arrived that are being checked
	last map[uint16]time.Time // the arrival of each PID's last PCR
	max  time.Duration
	us   histogram
}

// pcr takes a PCR, as mpegts.Checker.OnPCR reports it.
func (j *pcrJitter) pcr(pid uint16, advance time.Duration, follows bool) {
	if follows && advance >= 0 { // a PCR that goes back is an error, and says nothing about the network
		d := (j.now.Sub(j.last[pid]) - advance).Abs()
		j.max = max(j.max, d)
		j.us.add(d.Microseconds())
	}
	if j.last == nil {
		j.last = make(map[uint16]time.Time)
	}
	j.last[pid] = j.now
}

func (j *pcrJitter) result() Intervals { return j.us.intervals(j.max) }
