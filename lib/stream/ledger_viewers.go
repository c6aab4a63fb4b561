package stream

// Viewers is what only an entry of viewers has. What viewers lose never changes an exit status: Snapshot.Dropped leaves
// them out.
type Viewers struct {
	Connected int64 `json:"connected"` // viewers now
}

// OpenFunc adds an output that counts returns the entry of. counts must not call the ledger.
func (l *Ledger) OpenFunc(counts func() Counts) {
	l.mu.Lock()
	l.funcs = append(l.funcs, counts)
	l.mu.Unlock()
}

// Add counts n bytes that were dropped for the reason.
func (d *Dropped) Add(r Reason, n int64) { *d.reason(r) += n }

// Join adds the counts of o.
func (d *Dropped) Join(o *Dropped) {
	for r := range reasons {
		*d.reason(r) += *o.reason(r)
	}
}
