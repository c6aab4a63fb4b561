package vwpush

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"sync/atomic"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/listen"
	"github.com/timdrysdale/vw/lib/push"
	"github.com/timdrysdale/vw/lib/viewer"
	"github.com/timdrysdale/vw/lib/viewer/page"
)

const viewersCategory = "Viewers"

// listenFlags are the flags about viewers.
func listenFlags() []ucli.Flag {
	return cli.InCategory(viewersCategory,
		&ucli.StringFlag{Name: "listen",
			Usage: "let viewers watch at `ADDRESS`: HOST:PORT, unix:PATH or fd:N; a browser gets a page that plays"},
		&ucli.StringFlag{Name: "listen-tls-cert",
			Usage: "speak TLS with viewers, with the certificate in `FILE`; it is read again when it changes"},
		&ucli.StringFlag{Name: "listen-tls-key", Usage: "and its key in `FILE`"},
		&ucli.StringFlag{Name: "viewer-token-file",
			Usage: "viewers must show a token of `FILE`, whose lines are [NAME:]TOKEN or [NAME:]sha256:HEX;" +
				" it is read again when it changes"},
		&ucli.BoolFlag{Name: "no-auth", Usage: "let everybody watch who can reach an address that is not on loopback"},
		cli.RepeatedFlag("origin",
			"without a token: viewers may ask for the server by the name `HOST`, and pages of it may show"+
				" the picture (may be repeated)"),
		cli.SizeFlag("viewer-buffer", 16<<20,
			"hold at most `SIZE` of the stream for viewers: the current group of pictures, and what slow ones"+
				" have not taken"),
		cli.DurationFlag("gather", 0,
			"send viewers what comes within `D` as one message, at half the cost for many; 0 is at once"),
		&ucli.IntFlag{Name: "max-viewers", Value: 1000,
			Usage: "let at most `N` viewers watch at a time; 0 is any number"},
		&ucli.IntFlag{Name: "max-per-address",
			Usage: "let at most `N` viewers of one address watch at a time (of IPv6, one /64); 0 is any number"},
		&ucli.StringFlag{Name: "page-dir",
			Usage: "show browsers the page in the folder `DIR`; what is not in it comes from the program"},
	)
}

// viewers are what --listen and the flags beside it say.
type viewers struct {
	listen  bool
	address listen.Address
	tls     listen.TLSFiles
	tokens  string // the file; "": none
	options viewer.Options

	server *viewer.Server         // once it is open
	reload atomic.Pointer[func()] // reads the files again, once it is open: SIGHUP may come before that
	done   chan error             // of its Run, once it has started
}

func readViewers(c *ucli.Context) (*viewers, error) {
	v := &viewers{
		listen: c.IsSet("listen"),
		tls:    listen.TLSFiles{Cert: c.String("listen-tls-cert"), Key: c.String("listen-tls-key")},
		tokens: c.String("viewer-token-file"),
		options: viewer.Options{
			Hosts:         cli.Repeated(c, "origin"),
			MaxViewers:    c.Int("max-viewers"),
			MaxPerAddress: c.Int("max-per-address"),
			Buffer:        cli.Size(c, "viewer-buffer"),
			Gather:        cli.Duration(c, "gather"),
			DeadAfter:     cli.Duration(c, "dead-after"),
			MaxAge:        cli.Duration(c, "max-age"),
		},
	}
	if !v.listen {
		for _, f := range listenFlags() {
			if name := f.Names()[0]; c.IsSet(name) {
				return nil, cli.Usagef("--%s without --listen", name)
			}
		}
		return v, nil
	}
	var err error
	var malformed *listen.SyntaxError
	switch v.address, err = listen.Parse(c.String("listen")); {
	case errors.As(err, &malformed):
		return nil, cli.WithHint(cli.Usagef("invalid value for --listen: %w", err), malformed.Hint)
	case err != nil:
		return nil, err
	case (v.tls.Cert == "") != (v.tls.Key == ""):
		return nil, cli.Usagef("--listen-tls-cert and --listen-tls-key need each other")
	case v.tokens != "" && c.Bool("no-auth"):
		return nil, cli.Usagef("--no-auth with --viewer-token-file: either everybody may watch, or not")
	case v.tokens == "" && !c.Bool("no-auth") && !v.address.Loopback(listen.DefaultMode):
		return nil, cli.WithHint(cli.Usagef("--listen %s is not on loopback, and there is no token", v.address),
			"give --viewer-token-file FILE, or let everybody watch with --no-auth")
	case v.options.MaxViewers < 0, v.options.MaxPerAddress < 0:
		return nil, cli.Usagef("--max-viewers and --max-per-address must be 0 or more")
	case v.options.Buffer < cli.MinBuffer:
		return nil, cli.Usagef("--viewer-buffer %s is less than one packet (%d bytes)",
			cli.FormatSize(v.options.Buffer), cli.MinBuffer)
	case slices.Contains(v.options.Hosts, ""):
		return nil, cli.Usagef("--origin needs a host")
	}
	v.options.Page = page.Embedded()
	if dir := c.String("page-dir"); dir != "" {
		if v.options.Page, err = page.Dir(dir); err != nil {
			return nil, cli.Usagef("--page-dir: %w", err)
		}
	}
	return v, nil
}

// open listens.
func (v *viewers) open(p *cli.Pipe) error {
	if !v.listen {
		return nil
	}
	o := &v.options
	log := p.Throttled.For("viewers")
	o.Linger, o.Ledger, o.Log = p.Linger, p.Ledger, log
	var config *listen.TLS
	var err error
	if v.tls.Cert != "" {
		if config, err = listen.OpenTLS(v.tls, log); err != nil {
			return err
		}
	}
	if v.tokens != "" {
		if o.Tokens, err = access.OpenTokens(v.tokens, log); err != nil {
			var bad *access.LineError
			if errors.As(err, &bad) && bad.Hint != "" {
				err = cli.WithHint(err, bad.Hint)
			}
			return err
		}
	}
	ln, err := v.address.Open(listen.DefaultMode)
	if err != nil {
		return cli.WithHint(err, "choose another address with --listen, or 127.0.0.1:0 for any free port")
	}
	scheme := "http"
	o.Listener = ln
	if config != nil {
		scheme = "https"
		o.Listener = tls.NewListener(ln, config.Config())
	}
	reload := func() {
		if config != nil {
			config.Reload()
		}
		if o.Tokens != nil {
			o.Tokens.Reload()
		}
	}
	v.reload.Store(&reload)
	v.server = viewer.New(*o)
	p.Log.Info("listening for viewers", "addr", ln.Addr().String(), "url", ln.URL(scheme))
	return nil
}

// tap is what gets the stream; nil without --listen.
func (v *viewers) tap() push.Tap {
	if v.server == nil {
		return nil
	}
	return v.server
}

// start serves viewers until the stream ends, or hard does.
func (v *viewers) start(hard context.Context) {
	if v.server == nil {
		return
	}
	v.done = make(chan error, 1)
	go func() { v.done <- v.server.Run(hard) }()
}

// wait waits until all viewers have left. It returns why they could not be served.
func (v *viewers) wait() error {
	if v.done == nil {
		return nil
	}
	return <-v.done
}

// close ends listening, which Run does also.
func (v *viewers) close() {
	if v.options.Listener != nil {
		_ = v.options.Listener.Close()
	}
}

// reloads is what SIGHUP does; nil if there is nothing to read again.
func reloads(file *urlFile, v *viewers) func() {
	if file.name == "" && v.tokens == "" && v.tls.Cert == "" {
		return nil
	}
	return func() {
		if file.name != "" {
			file.hangup()
		}
		if reload := v.reload.Load(); reload != nil {
			(*reload)()
		}
	}
}
