package vwingest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/ingest"
	"github.com/timdrysdale/vw/lib/listen"
)

const (
	// tokenVariable is the environment variable with the tokens.
	tokenVariable = "VW_INGEST_TOKEN"
	// defaultListen is used when neither --listen nor systemd names an address.
	defaultListen = "127.0.0.1:8081"
)

func flags() []ucli.Flag {
	return slices.Concat(cli.InCategory("Where it listens", listenFlags()...),
		cli.InCategory("Publishers", publisherFlags()...), cli.CommonFlags(0))
}

func listenFlags() []ucli.Flag {
	return []ucli.Flag{
		cli.RepeatedFlag("listen", "take publishers at `ADDRESS`: HOST:PORT, unix:PATH or fd:N; may be given several "+
			"times (default: "+defaultListen+", or the sockets that systemd hands over)"),
		&ucli.StringFlag{Name: "listen-mode", Value: "0600", Usage: "`MODE` of the unix sockets of --listen"},
		&ucli.StringFlag{Name: "pull", Usage: "do not listen: dial `URL`, a websocket server, and write what it sends"},
		&ucli.StringFlag{Name: "tls-cert", Usage: "speak TLS, with the certificate in `FILE`"},
		&ucli.StringFlag{Name: "tls-key", Usage: "and its key in `FILE`"},
		&ucli.StringFlag{Name: "tls-client-ca",
			Usage: "publishers must show a certificate of an authority in `FILE`, besides a token"},
	}
}

func publisherFlags() []ucli.Flag {
	return []ucli.Flag{
		&ucli.StringFlag{Name: "token-file", Usage: "publishers must show a token in `FILE` (or $" + tokenVariable +
			"): lines [NAME:]TOKEN or [NAME:]sha256:HEX; with --pull it is shown"},
		&ucli.BoolFlag{Name: "no-auth", Usage: "let everybody publish, also web pages of any host"},
		&ucli.IntFlag{Name: "max-per-address", Value: 64,
			Usage: "let one address have `N` connections; 0 is any number"},
		cli.RepeatedFlag("trusted-proxy", "believe X-Forwarded-For from `CIDR`; may be given several times"),
		&ucli.StringFlag{Name: "publishers", Value: "one",
			Usage: "`POLICY` when a second one comes: one refuses it, takeover cuts the first"},
		&ucli.BoolFlag{Name: "once", Usage: "exit when the first publisher ends"},
		cli.DurationFlag("idle-timeout", 15*time.Second, "cut a publisher that sends nothing for `D`; 0 is never"),
		cli.SizeFlag("max-body", 0, "cut a publisher that sends more than `SIZE`; 0 is any size"),
	}
}

// config is what the flags say.
type config struct {
	pull          *pullConfig // nil: listen
	addresses     []listen.Address
	mode          fs.FileMode // of unix sockets
	tls           listen.TLSFiles
	tokenFile     string
	tokenText     *string // of the environment; nil: none
	noAuth        bool
	maxPerAddress int
	proxies       access.Proxies
	publishers    ingest.Policy
	once          bool
	idleTimeout   time.Duration
	maxBody       int64
}

func readConfig(c *ucli.Context) (*config, error) {
	cfg := &config{
		once:        c.Bool("once"),
		idleTimeout: cli.Duration(c, "idle-timeout"),
		maxBody:     cli.Size(c, "max-body"),
	}
	if c.String("pull") != "" {
		return cfg, cfg.readPull(c)
	}
	for _, read := range []func(*ucli.Context) error{cfg.readPolicy, cfg.readTLS, cfg.readListen, cfg.readAuth} {
		if err := read(c); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

func (cfg *config) readPolicy(c *ucli.Context) (err error) {
	if cfg.publishers, err = ingest.ParsePolicy(c.String("publishers")); err != nil {
		return cli.Usagef("invalid value for --publishers: %w", err)
	}
	if cfg.once && cfg.publishers == ingest.Takeover {
		return cli.Usagef("--once with --publishers takeover: there is only one publisher")
	}
	if cfg.maxPerAddress = c.Int("max-per-address"); cfg.maxPerAddress < 0 {
		return cli.Usagef("invalid value for --max-per-address: %d is negative", cfg.maxPerAddress)
	}
	for _, value := range cli.Repeated(c, "trusted-proxy") {
		proxy, err := access.ParseProxy(value)
		if err != nil {
			return cli.Usagef("invalid value for --trusted-proxy: %w", err)
		}
		cfg.proxies = append(cfg.proxies, proxy)
	}
	return nil
}

func (cfg *config) readTLS(c *ucli.Context) error {
	cfg.tls = listen.TLSFiles{Cert: c.String("tls-cert"), Key: c.String("tls-key"), ClientCA: c.String("tls-client-ca")}
	if (cfg.tls.Cert == "") != (cfg.tls.Key == "") {
		return cli.Usagef("--tls-cert and --tls-key need each other")
	}
	if cfg.tls.ClientCA != "" && cfg.tls.Cert == "" {
		return cli.Usagef("--tls-client-ca needs --tls-cert and --tls-key")
	}
	return nil
}

// readListen finds the addresses: those of --listen, and the sockets that systemd hands over; without any, the default.
func (cfg *config) readListen(c *ucli.Context) error {
	mode, err := strconv.ParseUint(c.String("listen-mode"), 8, 32)
	if err != nil || mode > 0o777 {
		return cli.Usagef("invalid value for --listen-mode: %q is no mode such as 0660", c.String("listen-mode"))
	}
	cfg.mode = fs.FileMode(mode)
	cfg.addresses = listen.Inherited(os.Getenv)
	values := cli.Repeated(c, "listen")
	if len(values) == 0 && len(cfg.addresses) == 0 {
		values = []string{defaultListen}
	}
	for _, value := range values {
		a, err := listen.Parse(value)
		var bad *listen.SyntaxError
		switch {
		case errors.As(err, &bad):
			return cli.WithHint(cli.Usagef("invalid value for --listen: %w", err), bad.Hint)
		case err != nil:
			return fmt.Errorf("--listen: %w", err)
		}
		cfg.addresses = append(cfg.addresses, a)
	}
	return nil
}

// readAuth finds who may publish. An address that is not on loopback needs a token or --no-auth.
func (cfg *config) readAuth(c *ucli.Context) error {
	cfg.noAuth = c.Bool("no-auth")
	if cfg.noAuth && c.IsSet("token-file") {
		return cli.Usagef("--no-auth with --token-file: either everybody may publish, or not")
	}
	if cfg.noAuth {
		return nil
	}
	if cfg.tokenFile = c.String("token-file"); cfg.tokenFile == "" {
		if text, ok := os.LookupEnv(tokenVariable); ok {
			cfg.tokenText = &text
		}
	}
	if cfg.tokenFile != "" || cfg.tokenText != nil {
		return cfg.checkTokens()
	}
	for _, a := range cfg.addresses {
		if !a.Loopback(cfg.mode) {
			return openToAll(a.String())
		}
	}
	return nil
}

// checkTokens reports what is wrong with the tokens before anything is opened.
func (cfg *config) checkTokens() error {
	_, err := cfg.openTokens(quiet{})
	var bad *access.LineError
	if errors.As(err, &bad) && bad.Hint != "" {
		return cli.WithHint(err, bad.Hint)
	}
	return err
}

// openToAll is the error about an address where everybody could publish.
func openToAll(address string) error {
	return cli.WithHint(cli.Usagef("--listen %s is not on loopback, and there is no token", address),
		"give --token-file FILE or "+tokenVariable+", or let everybody publish with --no-auth")
}

// openTokens opens the tokens; nil if there are none.
func (cfg *config) openTokens(log access.Log) (*access.Tokens, error) {
	switch {
	case cfg.tokenFile != "":
		return access.OpenTokens(cfg.tokenFile, log)
	case cfg.tokenText != nil:
		return access.FixedTokens("$"+tokenVariable, *cfg.tokenText, log)
	}
	return nil, nil
}

// quiet is a log that says nothing.
type quiet struct{}

func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
