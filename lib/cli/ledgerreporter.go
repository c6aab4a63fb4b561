package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

// LedgerReporterOptions say where and how often a ledger is reported.
type LedgerReporterOptions struct {
	// Ledger is written to File, if that is not "", every Every (0: a minute) and at the end.
	Ledger *stream.Ledger
	File   string
	Every  time.Duration
	// Stats is how often a line with StatsLine is logged, at level info and also when the log is quiet: it was asked
	// for. 0 is never.
	Stats     time.Duration
	StatsLine func() []slog.Attr
	// Stderr takes the ledger as one line of JSON at each SIGUSR1, and the lines of Stats, in the form Log ("text" or
	// "json") and with the name Tool.
	Stderr io.Writer
	Tool   string
	Log    string
	// Throttled logs that the file could not be written while the tool runs. It may be nil.
	Throttled *ThrottledLogger
}

// LedgerReporter writes the ledger of a running tool to its file, and to stderr at SIGUSR1. It has two goroutines,
// because a disk that hangs must not delay the answer to SIGUSR1.
type LedgerReporter struct {
	options LedgerReporterOptions
	log     *slog.Logger
	signals chan os.Signal
	file    *ledgerFile // nil: none

	terminate chan struct{}
	statsDone sync.WaitGroup // report
	written   chan error     // the result of the last write; closed after it
}

// StartLedgerReporter starts a LedgerReporter. It writes the file once before it returns, so that a ledger that cannot
// be written is an error at the start, and not after months.
func StartLedgerReporter(o LedgerReporterOptions) (*LedgerReporter, error) {
	if o.Every == 0 {
		o.Every = time.Minute
	}
	r := &LedgerReporter{
		options:   o,
		log:       NewLogger(o.Stderr, o.Tool, o.Log, false),
		signals:   make(chan os.Signal, 1),
		terminate: make(chan struct{}),
		written:   make(chan error, 1),
	}
	if o.File != "" {
		var err error
		if r.file, err = openLedgerFile(o.File); err != nil {
			return nil, err
		}
		if err := r.file.write(o.Ledger.Snapshot(false)); err != nil {
			return nil, err
		}
		go r.write()
	} else {
		close(r.written)
	}
	signal.Notify(r.signals, syscall.SIGUSR1)
	r.statsDone.Go(r.report)
	return r, nil
}

// write writes the file until Close.
func (r *LedgerReporter) write() {
	defer close(r.written)
	tick := time.NewTicker(r.options.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := r.file.write(r.options.Ledger.Snapshot(false)); err != nil && r.options.Throttled != nil {
				r.options.Throttled.Error("ledger", "ledger not written", "err", err)
			}
		case <-r.terminate:
			r.written <- r.file.write(r.options.Ledger.Snapshot(true))
			return
		}
	}
}

// report answers SIGUSR1, and logs the lines of Stats, until Close.
func (r *LedgerReporter) report() {
	var stats <-chan time.Time
	if r.options.Stats > 0 && r.options.StatsLine != nil {
		tick := time.NewTicker(r.options.Stats)
		defer tick.Stop()
		stats = tick.C
	}
	for {
		select {
		case <-stats:
			r.log.LogAttrs(context.Background(), slog.LevelInfo, "stats", r.options.StatsLine()...)
		case <-r.signals:
			r.print()
		case <-r.terminate:
			return
		}
	}
}

// print writes the ledger to stderr. An error there has nowhere to go.
func (r *LedgerReporter) print() {
	if line, err := json.Marshal(r.options.Ledger.Snapshot(false)); err == nil {
		_, _ = r.options.Stderr.Write(append(line, '\n'))
	}
}

// Close writes the ledger a last time, with its end, and stops. It returns the error of that write: when it has
// succeeded, earlier failures do not matter. When the disk has not answered within limit (0: no limit), Close returns
// an error and leaves the write running: nothing can end it, and the process may have to end.
func (r *LedgerReporter) Close(limit time.Duration) error {
	signal.Stop(r.signals)
	close(r.terminate)
	r.statsDone.Wait()
	var late <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case err := <-r.written:
		return err
	case <-late:
		return fmt.Errorf("write ledger %s: the disk did not answer within %v", r.options.File, limit)
	}
}
