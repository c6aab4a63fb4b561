// Package vwingest is the tool vw-ingest, which listens for publishers of video over HTTP and websockets, and writes
// what they send to stdout. The commands vw-ingest and vw run it.
package vwingest

import (
	"errors"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/cli/singleproc"
	"github.com/timdrysdale/vw/lib/ingest"
)

// Main runs the tool. It does not return.
func Main() {
	cli.RestoreGOMAXPROCS(singleproc.Before)
	cli.Main(&ucli.App{
		Name:  "vw-ingest",
		Usage: "take a stream over HTTP or a websocket and write it to stdout",
		Description: "A publisher is a POST or PUT on any path, or a websocket client that sends binary messages.\n" +
			"It shows the token as Authorization: Bearer, as the password of Basic, or as the first\n" +
			"element of the path. GET /healthz answers 200 while there is a publisher, else 503.\n" +
			"GET /metrics is for Prometheus, and needs the token. Tokens and certificates are read\n" +
			"again when their files change, and on SIGHUP.\n\n" +
			"With --pull it is the one that dials, again when the connection is lost. The idle timeout\n" +
			"ends a silent one.",
		Metadata: about.Metadata(),
		Flags:    flags(),
		Action:   run,
	})
}

var about = cli.About{
	First: []string{"listen", "token-file", "publishers", "trusted-proxy", "once"},
	Examples: [][2]string{
		{"Take a stream on this machine into a file; then: ffmpeg … -f mpegts http://127.0.0.1:8081/cam1",
			"vw-ingest --once >cam1.ts"},
		{"Be a relay, with tokens for publishers and for viewers",
			"vw-ingest --listen :8081 --token-file publishers --publishers takeover |\n" +
				"  vw-push --live --listen :8082 --viewer-token-file viewers"},
		{"Watch another vw-push, and record it", "vw-ingest --pull ws://127.0.0.1:8082/cam1 |\n" +
			"  vw-record --live --rotate-time 10m 'rec/%Y%m%dT%H%M%SZ.ts'"},
	},
	Environment: [][2]string{
		{tokenVariable, "the tokens, in place of --token-file"},
		{"LISTEN_FDS, LISTEN_FDNAMES", "the sockets that systemd hands over, in place of the default address"},
		{"HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY", "with --pull: the proxies, as for vw-push"},
	},
}

func run(c *ucli.Context) error {
	cfg, err := readConfig(c)
	if err != nil {
		return err
	}
	d := &door{cfg: cfg}
	return cli.RunPipe(c, d.reload(), func(p *cli.Pipe) error {
		o, err := d.open(p)
		if err != nil {
			return err
		}
		defer d.close()
		out, err := cli.OpenStdout()
		if err != nil {
			return err
		}
		defer out.Close()
		o.Output = out
		server := ingest.New(o)
		p.SetStats(server.Stats)
		d.announce(p)
		memory := cli.StartMemoryReleaser(func() cli.Activity {
			open, all := server.Connections()
			return cli.Activity{Open: open, Connections: all, Bytes: p.Ledger.Snapshot(false).In.Bytes}
		})
		defer memory.Close()
		err = server.Run(p.Shutdown.Graceful(), p.Shutdown.Immediate())
		if errors.Is(err, ingest.ErrOutputGone) {
			p.Log.Info("the reader of standard output has gone")
			return cli.WithStatus(nil, cli.ExitFailed)
		}
		return err
	})
}
