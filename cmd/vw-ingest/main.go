// Command vw-ingest listens for publishers of video over HTTP and websockets, and writes what they send to stdout.
package main

import (
	"crypto/tls"
	"errors"
	"net"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/cli/singleproc"
	"github.com/timdrysdale/vw/lib/fdio"
	"github.com/timdrysdale/vw/lib/ingest"
)

func main() {
	cli.RestoreGOMAXPROCS(singleproc.Before)
	cli.Main(&ucli.App{
		Name:  "vw-ingest",
		Usage: "take a stream over HTTP or a websocket and write it to stdout",
		Description: "A publisher is a POST or PUT on any path, or a websocket client that sends binary messages.\n" +
			"It shows the token as Authorization: Bearer, as the password of Basic, or as the first element of the path.\n" +
			"GET /healthz answers 200 while there is a publisher, else 503.\n\n" +
			"With --pull it is the one that dials, again when the connection is lost. The idle timeout ends a silent one.",
		Flags:  flags(),
		Action: run,
	})
}

func run(c *ucli.Context) error {
	cfg, err := readConfig(c)
	if err != nil {
		return err
	}
	return cli.RunPipe(c, nil, func(p *cli.Pipe) error {
		o, err := cfg.options(p)
		if err != nil {
			return err
		}
		if o.Listener != nil {
			defer o.Listener.Close()
		}
		out, err := cli.OpenStdout()
		if err != nil {
			return err
		}
		defer out.Close()
		o.Output = out
		server := ingest.New(o)
		p.SetStats(server.Stats)
		if o.Pull != nil {
			p.Log.Info("pulling", "from", o.Pull.Name)
		} else {
			p.Log.Info("listening", "addr", o.Listener.Addr(), "url", cfg.url(o.Listener.Addr()))
		}
		err = server.Run(p.Shutdown.Graceful(), p.Shutdown.Immediate())
		if errors.Is(err, ingest.ErrOutputGone) {
			p.Log.Info("the reader of standard output has gone")
			return cli.WithStatus(nil, cli.ExitFailed)
		}
		return err
	})
}

// options opens what has to be opened, and leaves to the caller what the process has only one of.
func (cfg *config) options(p *cli.Pipe) (ingest.Options, error) {
	o := ingest.Options{
		Token: cfg.token, AllowCrossOrigin: cfg.anyPage, Publishers: cfg.publishers, Once: cfg.once,
		IdleTimeout: cfg.idleTimeout, MaxBody: cfg.maxBody,
		Format: p.Format, Live: p.Live, Buffer: p.Buffer, MaxAge: p.MaxAge, Linger: p.Linger,
		Ledger: p.Ledger, Log: p.Throttled.For("vw-ingest"),
	}
	if cfg.pull != "" {
		o.Pull = cfg.source()
		return o, nil
	}
	ln, err := net.ListenTCP("tcp", cfg.addr)
	if err != nil {
		return ingest.Options{}, cli.WithHint(err, "choose another address with --listen, or 127.0.0.1:0 for any free port")
	}
	o.Listener = fdio.Listener{Listener: ln}
	if cfg.certificate != nil {
		o.Listener = tls.NewListener(o.Listener, &tls.Config{Certificates: []tls.Certificate{*cfg.certificate}})
	}
	return o, nil
}
