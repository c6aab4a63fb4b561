package testserver

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// arrival is one message.
type arrival struct {
	connection int
	message    int64 // from 1, of its connection
	at         time.Time
	bytes      int64
}

// arrivals writes the arrival of messages to a CSV file, in the order in which they were put, in a goroutine of its
// own.
type arrivals struct {
	file  *os.File
	start time.Time
	fail  func(error)
	done  chan struct{}
	moved atomic.Int64 // batches that are in the file

	most     int           // what may be waiting
	patience time.Duration // with a disk that takes nothing, in the end

	mu      sync.Mutex
	changed sync.Cond // signalled when waiting or ended changes
	waiting []arrival
	ended   bool
	lost    bool // more was waiting than may
}

func openArrivals(name string, start time.Time, fail func(error)) (*arrivals, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("arrivals: %w", err)
	}
	if _, err := f.WriteString("connection,message,ns,bytes\n"); err != nil {
		f.Close()
		return nil, fmt.Errorf("arrivals: %w", err)
	}
	a := &arrivals{file: f, start: start, fail: fail, done: make(chan struct{}),
		most: maxArrivals, patience: diskPatience}
	a.changed.L = &a.mu
	go a.run()
	return a, nil
}

// put adds an arrival, without waiting for the disk.
func (a *arrivals) put(m arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.lost:
		return
	case len(a.waiting) == a.most:
		a.lost = true
		a.fail(fmt.Errorf("arrivals: the disk is too slow: %d arrivals wait for it", a.most))
		return
	}
	a.waiting = append(a.waiting, m)
	a.changed.Signal()
}

// close returns when everything is in the file, or when there is no sense in waiting.
func (a *arrivals) close() {
	a.mu.Lock()
	a.ended = true
	lost := a.lost
	a.changed.Signal()
	a.mu.Unlock()
	if lost {
		return
	}
	if err := awaitDisk(a.done, a.moved.Load, a.patience); err != nil {
		a.fail(fmt.Errorf("arrivals: %w", err))
	}
}

func (a *arrivals) run() {
	defer close(a.done)
	w := bufio.NewWriterSize(a.file, blockSize)
	var row []byte
	var batch []arrival
	failed := false
	check := func(err error) {
		if err != nil && !failed {
			failed = true
			a.fail(fmt.Errorf("arrivals: %w", err))
		}
	}
	for {
		batch = a.take(batch[:0])
		if len(batch) == 0 {
			break
		}
		for _, m := range batch {
			row = strconv.AppendInt(row[:0], int64(m.connection), 10)
			row = strconv.AppendInt(append(row, ','), m.message, 10)
			row = strconv.AppendInt(append(row, ','), m.at.Sub(a.start).Nanoseconds(), 10)
			row = strconv.AppendInt(append(row, ','), m.bytes, 10)
			_, err := w.Write(append(row, '\n'))
			check(err)
		}
		check(w.Flush())
		a.moved.Add(1)
	}
	check(a.file.Close())
}

// take waits for arrivals and returns all that wait, none at the end. They are exchanged for empty.
func (a *arrivals) take(empty []arrival) []arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.waiting) == 0 && !a.ended {
		a.changed.Wait()
	}
	full := a.waiting
	a.waiting = empty
	return full
}
