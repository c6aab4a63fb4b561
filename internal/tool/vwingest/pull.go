package vwingest

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/ingest"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// pullConfig is what the flags say of --pull.
type pullConfig struct {
	url   string
	token string
	proxy func(*url.URL) (*url.URL, error)
}

// readPull reads what goes with --pull. The token is for the server there.
func (cfg *config) readPull(c *ucli.Context) (err error) {
	for _, name := range []string{"listen", "listen-mode", "tls-cert", "tls-key", "tls-client-ca", "no-auth",
		"publishers", "max-per-address", "trusted-proxy"} {
		if c.IsSet(name) {
			return cli.Usagef("--pull with --%s: what is pulled has no publishers", name)
		}
	}
	pull := &pullConfig{url: c.String("pull")}
	if err := wsconn.CheckURL(pull.url); err != nil {
		return cli.WithHint(cli.Usagef("invalid value for --pull: %w", err),
			"write it as ws://host/path or wss://host/path")
	}
	if pull.proxy, err = wsconn.ProxyFromEnv(os.Getenv); err != nil {
		return cli.WithHint(cli.Usagef("in the environment: %w", err),
			"write it as http://user:password@host:port or socks5://host:port, or unset it")
	}
	pull.token, err = cli.ReadSecret(c.String("token-file"), tokenVariable)
	cfg.pull = pull
	return err
}

// source is where to pull from.
func (p *pullConfig) source() *ingest.Source {
	header := http.Header{}
	if p.token != "" {
		header.Set("Authorization", "Bearer "+p.token)
	}
	return &ingest.Source{
		Name: wsconn.Redact(p.url),
		Dial: func(ctx context.Context, again bool) (*wsconn.Conn, error) {
			to := p.url
			if again {
				to = startNext(to)
			}
			return wsconn.Dial(ctx, to, wsconn.DialOptions{Header: header, Proxy: p.proxy})
		},
		Pause: 250 * time.Millisecond, MaxPause: 30 * time.Second,
	}
}

// startNext asks a vw-push --listen for the next keyframe instead of the group of pictures that it keeps for new
// viewers: a short loss of the connection must send no clock back. Other servers do not look at it.
func startNext(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	q := u.Query()
	q.Set("start", "next")
	u.RawQuery = q.Encode()
	return u.String()
}
