package ingest

import (
	"net"
	"sync"
	"time"
)

// maxLingering is how many connections stay open after a response that their clients do not expect yet.
const maxLingering = 256

// lingering closes connections some time after their response. One timer serves all of them: a goroutine for each would
// make a refusal expensive.
type lingering struct {
	delay time.Duration

	mu    sync.Mutex
	open  []lingerer // the oldest first
	timer *time.Timer
	ended bool
	none  *sync.Cond // broadcast when open becomes empty
}

type lingerer struct {
	conn net.Conn
	due  time.Time
}

func newLingering(delay time.Duration) *lingering {
	l := &lingering{delay: delay}
	l.none = sync.NewCond(&l.mu)
	return l
}

// add closes a connection after the delay, or earlier if there are too many.
func (l *lingering) add(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		_ = conn.Close()
		return
	}
	if len(l.open) >= maxLingering {
		l.closeOldest()
	}
	l.open = append(l.open, lingerer{conn, time.Now().Add(l.delay)})
	if l.timer == nil {
		l.timer = time.AfterFunc(l.delay, l.closeDue)
	}
}

func (l *lingering) closeDue() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for len(l.open) > 0 && !now.Before(l.open[0].due) {
		l.closeOldest()
	}
	l.timer = nil
	if len(l.open) > 0 {
		l.timer = time.AfterFunc(time.Until(l.open[0].due), l.closeDue)
	} else {
		l.none.Broadcast()
	}
}

// closeOldest closes without reading what the client has sent, which resets the connection. l.mu is held.
func (l *lingering) closeOldest() {
	_ = l.open[0].conn.Close()
	l.open[0] = lingerer{}
	l.open = l.open[1:]
}

// wait waits until all have been closed.
func (l *lingering) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.open) > 0 {
		l.none.Wait()
	}
}

// end closes all now, and those to come at once.
func (l *lingering) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for len(l.open) > 0 {
		l.closeOldest()
	}
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	l.none.Broadcast()
}
