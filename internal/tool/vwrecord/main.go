// Package vwrecord is the tool vw-record, which records standard input to files that follow each other, each of which
// plays alone. The commands vw-record and vw run it.
package vwrecord

import (
	"log/slog"
	"sync/atomic"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/cli/singleproc"
	"github.com/timdrysdale/vw/lib/record"
)

// Main runs the tool. It does not return.
func Main() {
	cli.RestoreGOMAXPROCS(singleproc.Before)
	cli.Main(app())
}

// run reads the flags, records until the end, and returns an error that has an exit status.
func run(c *ucli.Context) error {
	config, err := readFlags(c)
	if err != nil {
		return err
	}
	var running atomic.Pointer[record.Recording]
	hangup := func() {
		if r := running.Load(); r != nil {
			r.Hangup()
		}
	}
	return cli.RunPipe(c, hangup, func(p *cli.Pipe) error {
		if config.In, err = cli.OpenStdin(); err != nil {
			return err
		}
		if c.Bool("tee") {
			if config.Out, err = cli.OpenStdout(); err != nil {
				return err
			}
		} else if err := cli.CloseStdout(); err != nil {
			return err
		}
		config.Format, config.Live, config.Buffer = p.Format, p.Live, p.Buffer
		config.MaxAge, config.Linger = p.MaxAge, p.Linger
		config.Ledger, config.Log, config.Throttled = p.Ledger, p.Log, p.Throttled
		recording, err := record.New(config)
		if err != nil {
			return err
		}
		running.Store(recording)
		p.SetStats(func() []slog.Attr { return statsLine(p.Ledger.Snapshot(false)) })
		err = recording.Run(p.Shutdown.Graceful(), p.Shutdown.Immediate())
		if err == record.ErrOutputGone { // not joined with another error
			return cli.WithStatus(nil, cli.ExitFailed)
		}
		return err
	})
}
