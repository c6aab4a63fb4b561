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
	statsDone sync.WaitGroup // the goroutine of SIGUSR1 and Stats
	written   chan error     // the result of the last write; closed after it
}

// StartLedgerReporter starts a LedgerReporter. It writes the file once before it returns, so that a ledger that cannot
// be written is an error at the start, and not after months.
func StartLedgerReporter(o LedgerReporterOptions) (*LedgerReporter, error) {
	if o.Every == 0 {
		o.Every = time.Minute
	}
	k := &LedgerReporter{
		options:   o,
		log:       NewLogger(o.Stderr, o.Tool, o.Log, false),
		signals:   make(chan os.Signal, 1),
		terminate: make(chan struct{}),
		written:   make(chan error, 1),
	}
	if o.File != "" {
		var err error
		if k.file, err = openLedgerFile(o.File); err != nil {
			return nil, err
		}
		if err := k.file.write(o.Ledger.Snapshot(false)); err != nil {
			return nil, err
		}
		go k.write()
	} else {
		close(k.written)
	}
	signal.Notify(k.signals, syscall.SIGUSR1)
	k.statsDone.Go(k.tell)
	return k, nil
}

func (k *LedgerReporter) write() {
	defer close(k.written)
	tick := time.NewTicker(k.options.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := k.file.write(k.options.Ledger.Snapshot(false)); err != nil && k.options.Throttled != nil {
				k.options.Throttled.Error("ledger", "ledger not written", "err", err)
			}
		case <-k.terminate:
			k.written <- k.file.write(k.options.Ledger.Snapshot(true))
			return
		}
	}
}

func (k *LedgerReporter) tell() {
	var stats <-chan time.Time
	if k.options.Stats > 0 && k.options.StatsLine != nil {
		tick := time.NewTicker(k.options.Stats)
		defer tick.Stop()
		stats = tick.C
	}
	for {
		select {
		case <-stats:
			k.log.LogAttrs(context.Background(), slog.LevelInfo, "stats", k.options.StatsLine()...)
		case <-k.signals:
			k.print()
		case <-k.terminate:
			return
		}
	}
}

// print writes the ledger to stderr. An error there has nowhere to go.
func (k *LedgerReporter) print() {
	if line, err := json.Marshal(k.options.Ledger.Snapshot(false)); err == nil {
		_, _ = k.options.Stderr.Write(append(line, '\n'))
	}
}

// Close writes the ledger a last time, with its end, and stops. It returns the error of that write, which makes good
// for earlier ones. When the disk has not answered within limit (0: no limit), Close returns an error and leaves the
// write running: nothing can end it, and the process may have to end.
func (k *LedgerReporter) Close(limit time.Duration) error {
	signal.Stop(k.signals)
	close(k.terminate)
	k.statsDone.Wait()
	var late <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case err := <-k.written:
		return err
	case <-late:
		return fmt.Errorf("write ledger %s: the disk did not answer within %v", k.options.File, limit)
	}
}
