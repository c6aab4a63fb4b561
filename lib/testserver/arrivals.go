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

// arrivalLog writes the arrivals of messages to a CSV file, in the order of put, in a goroutine of its own.
type arrivalLog struct {
	file     *os.File
	start    time.Time
	fail     func(error)
	done     chan struct{}
	progress atomic.Int64 // batches written

	maxWaiting  int
	diskTimeout time.Duration

	mu       sync.Mutex
	changed  sync.Cond // signalled when waiting or closed changes
	waiting  []arrival
	closed   bool
	overflow bool // more than maxWaiting waited
}

func openArrivals(name string, start time.Time, fail func(error)) (*arrivalLog, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("arrivals: %w", err)
	}
	if _, err := f.WriteString("connection,message,ns,bytes\n"); err != nil {
		f.Close()
		return nil, fmt.Errorf("arrivals: %w", err)
	}
	a := &arrivalLog{file: f, start: start, fail: fail, done: make(chan struct{}),
		maxWaiting: maxArrivals, diskTimeout: diskTimeout}
	a.changed.L = &a.mu
	go a.run()
	return a, nil
}

// put adds an arrival without waiting for the disk.
func (a *arrivalLog) put(m arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.overflow:
		return
	case len(a.waiting) == a.maxWaiting:
		a.overflow = true
		a.fail(fmt.Errorf("arrivals: the disk is too slow: %d arrivals wait for it", a.maxWaiting))
		return
	}
	a.waiting = append(a.waiting, m)
	a.changed.Signal()
}

// close returns when everything is in the file, or when the disk has hung for too long.
func (a *arrivalLog) close() {
	a.mu.Lock()
	a.closed = true
	overflow := a.overflow
	a.changed.Signal()
	a.mu.Unlock()
	if overflow {
		return
	}
	if err := awaitDisk(a.done, a.progress.Load, a.diskTimeout); err != nil {
		a.fail(fmt.Errorf("arrivals: %w", err))
	}
}

func (a *arrivalLog) run() {
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
		a.progress.Add(1)
	}
	check(a.file.Close())
}

// take waits for arrivals and returns all that wait, none at the end. It keeps empty for the next ones.
func (a *arrivalLog) take(empty []arrival) []arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.waiting) == 0 && !a.closed {
		a.changed.Wait()
	}
	full := a.waiting
	a.waiting = empty
	return full
}
