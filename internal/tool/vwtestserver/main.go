// Package vwtestserver is the tool vw-testserver, which receives what websocket publishers send, checks and measures
// it, and gives a verdict: a JSON report, and an exit status for CI. Its first line of output says where it listens, so
// that no script has to sleep. The commands vw-testserver and vw run it.
//
// The server is in lib/testserver. This package adds the flags, the JSON lines and the exit status.
package vwtestserver

import (
	"errors"
	"os"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/testserver"
)

// started is what the times of --arrivals count from.
var started = time.Now()

const name = "vw-testserver"

// Main runs the tool. It does not return.
func Main() {
	cli.Main(&ucli.App{
		Name:        name,
		Usage:       "receive websocket streams, check them, give a verdict",
		Description: description,
		Metadata:    about.Metadata(),
		Flags:       flags(),
		ArgsUsage:   "[faults]",
		Action: func(c *ucli.Context) error {
			if c.Args().Len() == 1 && c.Args().First() == "faults" {
				return printFaults(os.Stdout)
			} else if c.Args().Present() {
				return cli.Usagef("unexpected argument %q", c.Args().First())
			}
			config, err := readConfig(c)
			if err != nil {
				return err
			}
			return run(config)
		},
	}, cli.ExitExpectation, cli.ExitTimeout)
}

func run(config config) error {
	if config.report == "" && config.junit == "" {
		if err := cli.CheckStdout("the report goes there: redirect it to a file, or give --report FILE"); err != nil {
			return err
		}
	}
	stop := cli.NotifyShutdown(nil)
	defer stop.Close()
	out := newJSONLines(os.Stdout)
	outputs := map[string]string{"report": config.report, "junit": config.junit, "announce": config.announce}
	for what, path := range outputs {
		if path == "" {
			continue
		}
		if err := removeOld(what, path); err != nil {
			return err
		}
	}
	announced := make(chan struct{})
	config.server.OnConnected = func(s testserver.Connected) {
		<-announced
		_ = out.print(connectedLine{"connected", s}) // out.failed reports an error
	}
	config.server.OnClosed = func(s testserver.Connection) { _ = out.print(closedLine{"closed", s}) }
	server, err := testserver.New(config.server)
	if err != nil {
		return err
	}
	if config.authority != "" {
		err = writeFile(config.authority, server.CertPEM())
	}
	if err == nil && config.announce != "" {
		err = writeFile(config.announce, []byte(server.URL()+"\n"))
	}
	if err == nil {
		err = out.print(listeningLine{"listening", server.URL()})
	}
	close(announced)
	if err != nil {
		server.Close()
		return err
	}

	return wait(config, server, stop, out)
}

// wait waits for the end and writes the report. Meanwhile it logs statistics.
func wait(config config, server *testserver.Server, stop *cli.Shutdown, out *jsonLines) error {
	lastStats, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		report, err := server.Wait(stop.Graceful())
		lastStats <- struct{}{} // no statistics after the report
		ended <- writeReport(config, report, err, out)
	}()
	var stats <-chan time.Time
	if config.stats > 0 {
		ticker := time.NewTicker(config.stats)
		defer ticker.Stop()
		stats = ticker.C
	}
	releaser := cli.StartMemoryReleaser(func() cli.Activity { return cli.Activity(server.Stats()) })
	defer releaser.Close()
	for {
		select {
		case <-stats:
			now := server.Stats()
			config.statsLog.Info("stats", "open", now.Open, "connections", now.Connections, "bytes", now.Bytes)
		case <-lastStats:
			stats = nil
		case err := <-ended:
			return err
		case <-out.failed:
			server.Close()
			return out.err
		case <-stop.Immediate().Done():
			return errors.New("told twice to stop: there is no verdict")
		}
	}
}
