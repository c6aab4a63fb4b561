// Package vwpush is the tool vw-push, which carries standard input to one or more websocket servers and to viewers.
// The commands vw-push and vw run it.
package vwpush

import (
	"errors"
	"slices"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/cli/singleproc"
	"github.com/timdrysdale/vw/lib/push"
)

// Main runs the tool. It does not return.
func Main() {
	cli.RestoreGOMAXPROCS(singleproc.Before)
	cli.Main(&ucli.App{
		Name:      "vw-push",
		Usage:     "carry standard input to websocket servers and to viewers",
		ArgsUsage: "URL [URL …] | --to-file FILE | --listen ADDRESS",
		Description: `Every destination gets the whole stream, as binary messages of whole packets. A lost connection is
made again. Without --live nothing is lost: what was not confirmed is sent again, and the slowest destination sets
the pace. With --live the input never waits: what is too old or too much is dropped in whole groups of pictures.

With --listen, browsers and other websocket clients can watch, beside the destinations or without any. They hold up
neither the input nor the destinations: a slow one loses whole groups of pictures, alone.

Proxies come from the environment: HTTP_PROXY for ws, HTTPS_PROXY for wss, ALL_PROXY for what has none of these, and
NO_PROXY for hosts to reach without one. http:// and https:// proxies are asked to CONNECT, for ws too; socks5:// and
socks5h:// proxies look up names themselves.`,
		Metadata: about.Metadata(),
		Flags:    slices.Concat(flags(), listenFlags(), cli.CommonFlags(2*time.Second)),
		Action:   run,
	})
}

var about = cli.About{
	First: []string{"live", "listen", "token-file", "viewer-token-file", "ledger"},
	Examples: [][2]string{
		{"Show a camera to browsers, at http://127.0.0.1:8082/",
			"ffmpeg -f v4l2 -i /dev/video0 -c:v mpeg1video -bf 0 -g 25 -f mpegts - |\n" +
				"  vw-push --live --listen 127.0.0.1:8082"},
		{"Push it to a server", "ffmpeg -f v4l2 -i /dev/video0 -c:v mpeg1video -bf 0 -g 25 -f mpegts - |\n" +
			"  vw-push --live --token-file token wss://relay.example.org/in/cam1"},
		{"Copy a recording to two servers, byte for byte, with the account",
			"vw-push --ledger push.json ws://a.example.org/in ws://b.example.org/in <cam1.ts"},
	},
	Environment: [][2]string{
		{"VW_PUSH_TOKEN", "the token to show, in place of --token-file"},
		{"HTTP_PROXY, HTTPS_PROXY, ALL_PROXY", "the proxy for ws, for wss, and for what has none of these"},
		{"NO_PROXY", "hosts to reach without a proxy: names, networks, *"},
		{"SSL_CERT_FILE, SSL_CERT_DIR", "the system's certificate authorities, in place of those of the system"},
	},
}

func run(c *ucli.Context) error {
	file := &urlFile{name: c.String("to-file")}
	options, err := readOptions(c, file)
	if err != nil {
		return err
	}
	viewers, err := readViewers(c)
	if err != nil {
		return err
	}
	if file.name != "" {
		options.BeforeDial = file.beforeDial
	}
	reload := reloads(file, viewers)
	return cli.RunPipe(c, reload, func(p *cli.Pipe) error {
		if err := cli.CloseStdout(); err != nil {
			return err
		}
		options.Linger, options.Format = p.Linger, p.Format
		options.Live, options.Buffer, options.MaxAge = p.Live, p.Buffer, p.MaxAge
		options.Ledger, options.Log = p.Ledger, p.Throttled
		if err := viewers.open(p); err != nil {
			return err
		}
		defer viewers.close()
		options.Tap = viewers.tap()
		pusher, err := push.New(options)
		if err != nil {
			return err
		}
		in, err := cli.OpenStdin()
		if err != nil {
			return err
		}
		defer in.Close()
		p.SetStats(statsLine(p, pusher))
		file.log = p.Throttled
		file.pusher.Store(pusher)
		viewers.start(p.Shutdown.Immediate())
		err = pusher.Run(p.Shutdown.Graceful(), p.Shutdown.Immediate(), in)
		err = errors.Join(err, viewers.wait())
		if hint := push.Hint(err); hint != "" {
			err = cli.WithHint(err, hint)
		}
		return err
	})
}
