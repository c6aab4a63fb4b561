// Command vw-nats carries standard input to a NATS subject, or writes what comes on one to standard output.
package main

import (
	"log/slog"
	"os"
	"slices"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/cli/singleproc"
	"github.com/timdrysdale/vw/lib/natspipe"
)

func main() {
	cli.RestoreGOMAXPROCS(singleproc.Before)
	// The flags follow the command, and are read as those of every tool.
	command := ""
	if len(os.Args) > 1 && (os.Args[1] == "pub" || os.Args[1] == "sub") {
		command = os.Args[1]
		os.Args = slices.Delete(slices.Clone(os.Args), 1, 2)
	}
	maxAge := 2 * time.Second
	if command == "sub" {
		maxAge = 0
	}
	cli.Main(&ucli.App{
		Name:      "vw-nats",
		Usage:     "carry a stream over a NATS subject: for more than one machine can serve",
		UsageText: "vw-nats pub [flags] SUBJECT\nvw-nats sub [flags] SUBJECT",
		ArgsUsage: "SUBJECT",
		Description: `pub carries standard input to the subject, sub writes what comes on it to standard output. A lost
connection is made again, with any server of the cluster.

Without --live the stream goes over JetStream and nothing is lost: what no stream has stored is sent again, sub
acknowledges what standard output has taken, and begins there when it is started again with the same --durable.

With --live it goes over core NATS and the input never waits. sub sees what is missing, says so, and goes on at the
next keyframe. With --retain a JetStream stream keeps the current group of pictures, so that sub begins at once.

Proxies come from the environment as in vw-push: HTTP_PROXY for nats and ws, HTTPS_PROXY for tls and wss.`,
		Metadata: about.Metadata(),
		Flags:    slices.Concat(flags(), pubFlags(), subFlags(), cli.CommonFlags(maxAge)),
		Action:   func(c *ucli.Context) error { return run(c, command) },
	})
}

var about = cli.About{
	First: []string{"live", "server", "retain", "create", "creds"},
	Examples: [][2]string{
		{"Publish a camera, whose newest pictures new subscribers begin with",
			"ffmpeg -f v4l2 -i /dev/video0 -c:v mpeg1video -bf 0 -g 25 -f mpegts - |\n" +
				"  vw-nats pub --live --retain CAM1 --create --server nats://nats.example.org cam.1"},
		{"Show it to browsers, on any number of machines",
			"vw-nats sub --live --retain CAM1 --server nats://nats.example.org cam.1 |\n" +
				"  vw-push --live --listen 127.0.0.1:8082"},
		{"Record it elsewhere without a gap, also when the network is away for an hour",
			"vw-nats sub --durable recorder --server nats://nats.example.org cam.2 |\n" +
				"  vw-record --rotate-time 10m 'rec/%Y%m%dT%H%M%SZ.ts'"},
	},
	Environment: [][2]string{
		{tokenVariable, "the token to show, in place of --token-file"},
		{"HTTP_PROXY, HTTPS_PROXY, ALL_PROXY", "the proxy for nats and ws, for tls and wss, and for what has none"},
		{"NO_PROXY", "hosts to reach without a proxy: names, networks, *"},
	},
}

func run(c *ucli.Context, command string) error {
	options, err := readOptions(c, command)
	if err != nil {
		return err
	}
	return cli.RunPipe(c, nil, func(p *cli.Pipe) error {
		options.Linger, options.Format = p.Linger, p.Format
		options.Live, options.Buffer, options.MaxAge = p.Live, p.Buffer, p.MaxAge
		options.Ledger, options.Log = p.Ledger, p.Throttled
		p.SetStats(func() []slog.Attr { return statsLine(p) })
		do := publish
		if command == "sub" {
			do = subscribe
		}
		err := do(p, options)
		if hint := natspipe.Hint(err); hint != "" {
			err = cli.WithHint(err, hint)
		}
		return err
	})
}

func publish(p *cli.Pipe, o natspipe.Options) error {
	if err := cli.CloseStdout(); err != nil {
		return err
	}
	publisher, err := natspipe.NewPublisher(o)
	if err != nil {
		return err
	}
	in, err := cli.OpenStdin()
	if err != nil {
		return err
	}
	defer in.Close()
	return publisher.Run(p.Shutdown.Graceful(), p.Shutdown.Immediate(), in)
}

func subscribe(p *cli.Pipe, o natspipe.Options) error {
	subscriber, err := natspipe.NewSubscriber(o)
	if err != nil {
		return err
	}
	out, err := cli.OpenStdout()
	if err != nil {
		return err
	}
	defer out.Close()
	err = subscriber.Run(p.Shutdown.Graceful(), p.Shutdown.Immediate(), out)
	if gaps := subscriber.Gaps(); gaps > 0 {
		p.Log.Warn("parts of the stream did not arrive", "gaps", gaps)
	}
	if err == natspipe.ErrOutputGone {
		p.Log.Info("the reader of standard output has gone")
		return cli.WithStatus(nil, cli.ExitFailed)
	}
	return err
}

func statsLine(p *cli.Pipe) []slog.Attr {
	s := p.Ledger.Snapshot(false)
	attrs := []slog.Attr{slog.Int64("in", s.In.Bytes)}
	for _, c := range s.Out {
		attrs = append(attrs, slog.Group(c.To, "confirmed", c.Confirmed, "unconfirmed", c.Unconfirmed, "held", c.Held,
			"dropped", c.Dropped.Sum(), "resent", c.Resent, "messages", c.Messages, "connects", c.Connects))
	}
	return attrs
}
