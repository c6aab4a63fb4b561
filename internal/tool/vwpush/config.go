package vwpush

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/push"
	"github.com/timdrysdale/vw/lib/wsconn"
)

func flags() []ucli.Flag {
	return slices.Concat(cli.InCategory("Destinations", destinationFlags()...),
		cli.InCategory("TLS with destinations", tlsFlags()...), cli.InCategory("Connections", connectionFlags()...))
}

func destinationFlags() []ucli.Flag {
	return []ucli.Flag{
		&ucli.StringFlag{Name: "to-file",
			Usage: "push to the URLs in `FILE`, one a line; it is read again on SIGHUP and at each dial"},
		cli.RepeatedFlag("header", "send this header in each handshake (`'Name: value'`; may be repeated)"),
		&ucli.StringFlag{Name: "header-file", Usage: "send the headers in `FILE`, one a line"},
		&ucli.StringFlag{Name: "token-file",
			Usage: "send the token in `FILE` as Authorization: Bearer; it is read again at each dial " +
				"(or VW_PUSH_TOKEN)"},
		&ucli.StringFlag{Name: "stream",
			Usage: "name the stream `NAME` in each handshake and in the ledger (at random unless given)"},
		&ucli.StringFlag{Name: "subprotocol", Usage: "agree on the subprotocol `P`, or do not connect"},
	}
}

func tlsFlags() []ucli.Flag {
	return append(cli.TLSFlags(), &ucli.BoolFlag{Name: "insecure", Usage: "trust any server (not for use)"})
}

func connectionFlags() []ucli.Flag {
	return slices.Concat([]ucli.Flag{
		cli.SizeFlag("max-message", 256<<10, "send messages of at most `SIZE`; of TS, whole packets within it"),
		cli.DurationFlag("dial-timeout", wsconn.DefaultDialTimeout,
			"a dial may take `D`, from the name to the handshake"),
		cli.DurationFlag("dead-after", 15*time.Second,
			"a link is dead when nothing comes back for `D`: no frame, and no byte acknowledged by TCP"),
	}, cli.BackoffFlags(), []ucli.Flag{
		cli.DurationFlag("give-up-after", 0, "end with status 1 when a destination has confirmed nothing for `D` "+
			"although something waited for it; 0 is never"),
	})
}

func readOptions(c *ucli.Context, urls *urlFile) (push.Options, error) {
	d, err := cli.ReadDialing(c)
	o := push.Options{
		URLs:        c.Args().Slice(),
		Stream:      c.String("stream"),
		Subprotocol: c.String("subprotocol"),
		Credentials: push.Credentials{CA: d.CA, Cert: d.Cert, Key: d.Key, Insecure: c.Bool("insecure")},
		DialTimeout: d.DialTimeout, DeadAfter: d.DeadAfter, BackoffMin: d.BackoffMin, BackoffMax: d.BackoffMax,
		GiveUpAfter: cli.Duration(c, "give-up-after"),
		MaxMessage:  d.MaxMessage,
	}
	if o.Stream == "" {
		o.Stream = strings.ToLower(rand.Text()[:12])
	}
	if file := c.String("token-file"); file != "" || os.Getenv(tokenVariable) != "" {
		o.Credentials.Token = tokenFrom(file)
	}
	if urls.name != "" {
		if len(o.URLs) > 0 {
			return o, cli.Usagef("--to-file and URLs do not go together")
		}
		listed, err := urls.urls()
		if err != nil {
			return o, err
		}
		o.URLs = listed
	}
	switch {
	case len(o.URLs) == 0 && !c.IsSet("listen"):
		return o, cli.WithHint(cli.Usagef("no destination"),
			"vw-push [flags] URL [URL …], such as wss://relay.example.org/in/cam1;"+
				" or --listen ADDRESS for viewers")
	case !wsconn.ValidStreamName(o.Stream):
		return o, cli.Usagef("--stream %q is not 1 to 64 letters, digits, dots, underscores and hyphens", o.Stream)
	case err != nil:
		return o, err
	}
	for _, flag := range []string{"ca", "cert", "key"} {
		if info, err := os.Stat(c.String(flag)); err == nil && !info.Mode().IsRegular() {
			return o, cli.Usagef("--%s %s is not a regular file, and is to be read at each dial", flag, c.String(flag))
		}
	}
	seen := map[string]bool{}
	for _, u := range o.URLs {
		if err := wsconn.CheckURL(u); err != nil {
			return o, cli.WithHint(cli.Usagef("destination %s: %w", wsconn.Redact(u), err),
				"write it as ws://host/path or wss://host/path")
		}
		if seen[u] {
			return o, cli.Usagef("destination %s twice", wsconn.Redact(u))
		}
		seen[u] = true
	}
	if o.Proxy, err = wsconn.ProxyFromEnv(os.Getenv); err != nil {
		return o, cli.WithHint(cli.Usagef("in the environment: %w", err),
			"write it as http://user:password@host:port or socks5://host:port, or unset it")
	}
	o.Header, err = readHeader(cli.Repeated(c, "header"), c.String("header-file"))
	return o, err
}

// tokenVariable is the environment variable that may hold the token.
const tokenVariable = "VW_PUSH_TOKEN"

// tokenFrom reads the token again each time, unless it comes from a pipe, which gives it only once.
func tokenFrom(file string) func() (string, error) {
	read := func() (string, error) { return cli.ReadSecret(file, tokenVariable) }
	if info, err := os.Stat(file); file != "" && err == nil && !info.Mode().IsRegular() {
		return sync.OnceValues(read)
	}
	return read
}

// readHeader puts the headers of the command line and of a file together. No error shows a line: it may be a secret.
func readHeader(lines []string, file string) (http.Header, error) {
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read header file: %w", err)
		}
		lines = append(lines, strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' || r == '\r' })...)
	}
	header := http.Header{}
	for _, line := range lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		r := textproto.NewReader(bufio.NewReader(strings.NewReader(line + "\r\n\r\n")))
		parsed, err := r.ReadMIMEHeader()
		if err != nil || len(parsed) != 1 {
			return nil, cli.Usagef("a header is not written as 'Name: value'")
		}
		for name, values := range parsed {
			header[name] = append(header[name], values...)
		}
	}
	return header, nil
}
