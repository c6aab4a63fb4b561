package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/lib/stream"
)

// progressInterval is how often the line of --progress is drawn.
const progressInterval = time.Second

// progress is the line of --progress. It is a writer for the log, so that a line of the log stands in place of it and
// not behind it.
//
// Of several tools on one terminal one draws, which holds the lock on the terminal. The next one does when it has
// ended.
type progress struct {
	terminal *os.File // opened anew: a lock belongs to an open file, and the tools of a pipeline share standard error
	out      io.Writer
	snapshot func() stream.Snapshot

	mu    sync.Mutex
	drawn bool
	holds bool // the lock

	last     stream.Snapshot
	lastTime time.Time

	done    chan struct{}
	running sync.WaitGroup
}

// startProgress begins to draw, if stderr is a terminal that can erase a line. Else it returns nil.
func startProgress(stderr *os.File, out io.Writer, snapshot func() stream.Snapshot) *progress {
	term := os.Getenv("TERM")
	if _, err := unix.IoctlGetWinsize(int(stderr.Fd()), unix.TIOCGWINSZ); err != nil || term == "" || term == "dumb" {
		return nil
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", stderr.Fd()), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		terminal, err = os.OpenFile("/dev/tty", os.O_RDWR, 0) // where there is no /proc
	}
	if err != nil {
		return nil
	}
	p := &progress{terminal: terminal, out: out, snapshot: snapshot, done: make(chan struct{})}
	p.last, p.lastTime = snapshot(), time.Now()
	p.running.Go(p.run)
	return p
}

func (p *progress) run() {
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.draw()
		case <-p.done:
			return
		}
	}
}

const eraseLine = "\r\x1b[K"

// Write erases the line, and writes b in its place.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = io.WriteString(p.out, eraseLine) // that of another tool, too
	p.drawn = false
	return p.out.Write(b)
}

// draw draws the line anew, if this tool is the one that draws and is not in the background.
func (p *progress) draw() {
	now, s := time.Now(), p.snapshot()
	line := progressLine(s, p.last, now.Sub(p.lastTime), now.Sub(s.Started))
	p.last, p.lastTime = s, now
	fd := int(p.terminal.Fd())
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.holds {
		p.holds = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil
	}
	foreground, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	if !p.holds || err == nil && foreground != unix.Getpgrp() {
		return
	}
	size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil || size.Col < 2 {
		return
	}
	// The cursor goes back to the beginning: what another program writes stands in place of the line.
	_, _ = io.WriteString(p.out, eraseLine+cutTo(line, int(size.Col)-1)+"\r")
	p.drawn = true
}

// close erases the line.
func (p *progress) close() {
	close(p.done)
	p.running.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		_, _ = io.WriteString(p.out, eraseLine)
	}
	p.terminal.Close() // and with it the lock
}

func cutTo(text string, columns int) string {
	if utf8.RuneCountInString(text) <= columns {
		return text
	}
	return string([]rune(text)[:columns])
}

// progressLine is what is known of s in one line: time, rate, bytes, and for each output its state and what was
// dropped.
func progressLine(s, last stream.Snapshot, since, running time.Duration) string {
	parts := []string{fmt.Sprintf("%s %v  %.2f Mbit/s  %s", s.Tool, running.Round(time.Second),
		float64(s.In.Bytes-last.In.Bytes)*8/1e6/since.Seconds(), roundSize(s.In.Bytes))}
	for i, c := range s.Out {
		state := ""
		switch {
		case c.Recorded != nil:
			state = fmt.Sprintf("%d files", c.Segments)
		case c.Viewers != nil:
			state = fmt.Sprintf("%d viewers", c.Connected)
		case c.Held+c.Unconfirmed > 0 && i < len(last.Out) && c.Confirmed == last.Out[i].Confirmed:
			state = "waits, holds " + roundSize(c.Held+c.Unconfirmed)
		default:
			state = "delivered " + roundSize(c.Confirmed)
		}
		if n := c.Dropped.Sum(); n > 0 {
			state += ", dropped " + roundSize(n)
		}
		parts = append(parts, c.To+": "+state)
	}
	return strings.Join(parts, " | ")
}

// roundSize writes n with one digit after the point: 1.3 GB.
func roundSize(n int64) string {
	value, unit := float64(n), "B"
	for _, next := range []string{"kB", "MB", "GB", "TB"} {
		if value < 1000 {
			break
		}
		value, unit = value/1000, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}
