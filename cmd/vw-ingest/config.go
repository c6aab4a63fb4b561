package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/ingest"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// tokenVariable is the environment variable with the token.
const tokenVariable = "VW_INGEST_TOKEN"

func flags() []ucli.Flag {
	return append([]ucli.Flag{
		&ucli.StringFlag{Name: "listen", Value: "127.0.0.1:8081", Usage: "take publishers at `ADDRESS`"},
		&ucli.StringFlag{Name: "pull", Usage: "do not listen: dial `URL`, a websocket server, and write what it sends"},
		&ucli.StringFlag{Name: "tls-cert", Usage: "speak TLS, with the certificate in `FILE`"},
		&ucli.StringFlag{Name: "tls-key", Usage: "and its key in `FILE`"},
		&ucli.StringFlag{Name: "token-file", Usage: "publishers must show the token in `FILE` (or $" + tokenVariable + "); with --pull it is shown"},
		&ucli.BoolFlag{Name: "no-auth", Usage: "let everybody publish, also web pages of any host"},
		&ucli.StringFlag{Name: "publishers", Value: "one", Usage: "`POLICY` when a second one comes: one refuses it, takeover cuts the first"},
		&ucli.BoolFlag{Name: "once", Usage: "exit when the first publisher ends"},
		cli.DurationFlag("idle-timeout", 15*time.Second, "cut a publisher that sends nothing for `D`; 0 is never"),
		cli.SizeFlag("max-body", 0, "cut a publisher that sends more than `SIZE`; 0 is any size"),
	}, cli.CommonFlags(0)...)
}

// config is what the flags say.
type config struct {
	pull        string // "": listen
	proxy       func(*url.URL) (*url.URL, error)
	addr        *net.TCPAddr
	certificate *tls.Certificate // nil: no TLS
	token       string
	anyPage     bool
	publishers  ingest.Policy
	once        bool
	idleTimeout time.Duration
	maxBody     int64
}

func readConfig(c *ucli.Context) (*config, error) {
	cfg := &config{
		pull:        c.String("pull"),
		once:        c.Bool("once"),
		idleTimeout: cli.Duration(c, "idle-timeout"),
		maxBody:     cli.Size(c, "max-body"),
	}
	if cfg.pull != "" {
		return cfg, cfg.readPull(c)
	}
	var err error
	if cfg.publishers, err = ingest.ParsePolicy(c.String("publishers")); err != nil {
		return nil, cli.Usagef("invalid value for --publishers: %w", err)
	}
	if cfg.once && cfg.publishers == ingest.Takeover {
		return nil, cli.Usagef("--once with --publishers takeover: there is only one publisher")
	}
	if (c.String("tls-cert") == "") != (c.String("tls-key") == "") {
		return nil, cli.Usagef("--tls-cert and --tls-key need each other")
	}
	if c.Bool("no-auth") && c.IsSet("token-file") {
		return nil, cli.Usagef("--no-auth with --token-file: either everybody may publish, or not")
	}
	if cfg.addr, err = resolve(c.String("listen")); err != nil {
		return nil, err
	}
	cfg.anyPage = c.Bool("no-auth")
	if !cfg.anyPage {
		if cfg.token, err = cli.ReadSecret(c.String("token-file"), tokenVariable); err != nil {
			return nil, err
		}
		if cfg.token == "" && !cfg.addr.IP.IsLoopback() {
			return nil, cli.WithHint(cli.Usagef("--listen %s is not on loopback, and there is no token", c.String("listen")),
				"give --token-file FILE or "+tokenVariable+", or let everybody publish with --no-auth")
		}
	}
	if c.String("tls-cert") != "" {
		pair, err := tls.LoadX509KeyPair(c.String("tls-cert"), c.String("tls-key"))
		if err != nil {
			return nil, fmt.Errorf("read --tls-cert and --tls-key: %w", err)
		}
		cfg.certificate = &pair
	}
	return cfg, nil
}

// readPull reads what goes with --pull. The token is for the server there.
func (cfg *config) readPull(c *ucli.Context) (err error) {
	for _, name := range []string{"listen", "tls-cert", "tls-key", "no-auth", "publishers"} {
		if c.IsSet(name) {
			return cli.Usagef("--pull with --%s: what is pulled has no publishers", name)
		}
	}
	if err := wsconn.CheckURL(cfg.pull); err != nil {
		return cli.WithHint(cli.Usagef("invalid value for --pull: %w", err), "write it as ws://host/path or wss://host/path")
	}
	if cfg.proxy, err = wsconn.ProxyFromEnv(os.Getenv); err != nil {
		return cli.WithHint(cli.Usagef("in the environment: %w", err), "write it as http://user:password@host:port or socks5://host:port, or unset it")
	}
	cfg.token, err = cli.ReadSecret(c.String("token-file"), tokenVariable)
	return err
}

// source is where to pull from.
func (cfg *config) source() *ingest.Source {
	header := http.Header{}
	if cfg.token != "" {
		header.Set("Authorization", "Bearer "+cfg.token)
	}
	return &ingest.Source{
		Name: wsconn.Redact(cfg.pull),
		Dial: func(ctx context.Context) (*wsconn.Conn, error) {
			return wsconn.Dial(ctx, cfg.pull, wsconn.DialOptions{Header: header, Proxy: cfg.proxy})
		},
		Pause: 250 * time.Millisecond, MaxPause: 30 * time.Second,
	}
}

// resolve finds the address to listen on, once: what is on loopback now must be what is listened on.
func resolve(listen string) (*net.TCPAddr, error) {
	addr, err := net.ResolveTCPAddr("tcp", listen)
	var malformed *net.AddrError
	var unknown *net.DNSError
	switch {
	case err == nil:
		return addr, nil
	case errors.As(err, &malformed), errors.As(err, &unknown) && unknown.IsNotFound:
		return nil, cli.WithHint(cli.Usagef("invalid value for --listen: %w", err), "an address is HOST:PORT: 127.0.0.1:8081, :8081, [::1]:8081")
	}
	return nil, fmt.Errorf("resolve --listen %s: %w", listen, err)
}

// url is what a publisher on this machine can be given.
func (cfg *config) url(addr net.Addr) string {
	scheme := "http"
	if cfg.certificate != nil {
		scheme = "https"
	}
	return scheme + "://" + addr.String() + "/"
}
