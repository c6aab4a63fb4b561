package cli

import (
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/stream"
)

// Pipe is what every pipe tool has while it runs.
type Pipe struct {
	Common
	Log       *slog.Logger
	Throttled *ThrottledLogger // for what may happen very often
	Ledger    *stream.Ledger
	Shutdown  *Shutdown

	stats atomic.Pointer[func() []slog.Attr]
}

// RunPipe runs a pipe tool: it reads the common flags, opens log and ledger, listens for signals, and calls run. SIGHUP
// calls reload, or if that is nil counts as SIGTERM. When run returns, the ledger is written for the last time; if
// something was dropped, that is an error with ExitDropped.
func RunPipe(c *ucli.Context, reload func(), run func(*Pipe) error) (err error) {
	common, err := ReadCommon(c)
	if err != nil {
		return err
	}
	p := &Pipe{Common: common, Ledger: stream.NewLedger(c.App.Name), Shutdown: NotifyShutdown(reload)}
	defer p.Shutdown.Close()
	stderr := Stderr
	if common.Progress {
		snapshot := func() stream.Snapshot { return p.Ledger.Snapshot(false) }
		if line := startProgress(os.Stderr, Stderr, snapshot); line != nil {
			stderr = line
			defer line.close()
		}
	}
	p.Log = NewLogger(stderr, c.App.Name, common.Log, common.Quiet)
	p.Throttled = NewThrottledLogger(p.Log)
	reporter, err := StartLedgerReporter(LedgerReporterOptions{
		Ledger: p.Ledger, File: common.Ledger,
		Stats: common.Stats, StatsLine: p.statsLine,
		Stderr: stderr, Tool: c.App.Name, Log: common.Log, Throttled: p.Throttled,
	})
	if err != nil {
		return err
	}
	defer func() {
		// A disk that hangs must not keep the tool from ending.
		err = errors.Join(err, reporter.Close(max(common.Linger, time.Second)))
		p.Throttled.Flush()
		s := p.Ledger.Snapshot(true)
		if n := s.Dropped(); n > 0 {
			p.Log.Warn("not everything was delivered", "dropped", n)
		}
		if n := s.Uncarried(); n > 0 {
			p.Log.Warn("files were deleted before the command of --exec had succeeded", "files", n)
		}
		if s.Dropped() > 0 || s.Uncarried() > 0 {
			err = errors.Join(err, WithStatus(nil, ExitDropped))
		}
	}()
	err = run(p)
	if size := new(stream.PacketSizeError); errors.As(err, &size) {
		err = WithHint(err, size.Hint())
	}
	return err
}

// SetStats says what the lines of --stats show.
func (p *Pipe) SetStats(line func() []slog.Attr) { p.stats.Store(&line) }

func (p *Pipe) statsLine() []slog.Attr {
	if line := p.stats.Load(); line != nil {
		return (*line)()
	}
	return nil
}
