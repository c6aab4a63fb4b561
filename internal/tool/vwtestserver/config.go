package vwtestserver

import (
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/testserver"
)

const description = `Standard output is JSON Lines: {"event":"listening","url":"ws://127.0.0.1:PORT"} first,
connected and closed for each connection, the report last.

An expectation must hold for every connection, and fails if none came.
PATH=VALUE, as in /cam1=VALUE, is only about connections with this path. (Write
=VALUE for a VALUE that begins with a slash and contains a =.) Each may be
repeated.

"vw-testserver faults" lists what can go wrong on purpose.

Without --conns and --bytes it receives until a signal or the --timeout.`

// config is what the flags say.
type config struct {
	server    testserver.Options
	authority string // the file for the CA's certificate; "": none
	report    string // the file for the report; "": none
	junit     string // the file for the report as JUnit XML; "": none
	announce  string // the file for the URL; "": none

	stats    time.Duration // 0: none
	statsLog *slog.Logger  // logs also without --verbose
}

func flags() []ucli.Flag {
	return slices.Concat(cli.InCategory("Where it listens, and what it saves", serverFlags()...),
		cli.InCategory("When it ends", endFlags()...), cli.InCategory("What is expected", expectationFlags()...),
		cli.InCategory("What goes wrong on purpose", faultFlags()...),
		cli.InCategory("What it writes", outputFlags()...), cli.LogFlags())
}

func serverFlags() []ucli.Flag {
	return []ucli.Flag{
		&ucli.StringFlag{Name: "listen", Value: "127.0.0.1:0", Usage: "listen on `HOST:PORT`; port 0 picks a free one"},
		&ucli.BoolFlag{Name: "tls", Usage: "speak wss://, with a certificate made for this run"},
		&ucli.StringFlag{Name: "tls-ca",
			Usage: "with --tls: write the CA's certificate to `FILE` before the line with the URL"},
		&ucli.StringFlag{Name: "token-file",
			Usage: "require the token in `FILE` (or in $VW_TESTSERVER_TOKEN), as Bearer or Basic password"},
		&ucli.StringFlag{Name: "save", Usage: "save what each connection sends in `DIR`, as 001-path.ts"},
		&ucli.StringFlag{Name: "arrivals", Usage: "write each message's arrival to `FILE`: CSV, ns since the start"},
		cli.SizeFlag("max-message", testserver.DefaultMaxMessage,
			"refuse messages longer than `SIZE` (close code 1009)"),
	}
}

func endFlags() []ucli.Flag {
	return []ucli.Flag{
		&ucli.IntFlag{Name: "conns", Usage: "end after `N` connections have ended"},
		cli.SizeFlag("bytes", 0, "end after `SIZE` bytes in all"),
		cli.DurationFlag("timeout", 0, "end after `D`; exit status 5 if --conns or --bytes is not reached"),
		cli.DurationFlag("linger", testserver.DefaultLinger,
			"after the first signal, let connections go on for at most `D`"),
	}
}

func expectationFlags() []ucli.Flag {
	return []ucli.Flag{
		cli.RepeatedFlag("expect-file", "expect the bytes of `FILE` (or PATH=FILE)"),
		cli.RepeatedFlag("expect-sha256", "expect bytes with this `SHA256` (or PATH=SHA256)"),
		cli.RepeatedFlag("expect-bytes", "expect `N` bytes, or '>=N' (or PATH=N)"),
		cli.RepeatedFlag("expect-messages", "expect `N` whole messages, or '>=N' (or PATH=N)"),
		cli.RepeatedFlag("expect-frames", "expect `N` frames of video, or '>=N' (or PATH=N)"),
		cli.RepeatedFlag("expect-conns", "expect `N` connections, or '>=N' (or PATH=N); N may be 0"),
		cli.RepeatedFlag("expect-path", "expect paths that match `GLOB` (* does not match a slash)"),
		cli.RepeatedFlag("expect-header",
			"expect 'Name: value' in the `HEADER` of the handshake (or PATH=Name: value)"),
		cli.RepeatedFlag("expect-max-gap", "expect at most `D` between two messages (or PATH=D)"),
		cli.RepeatedFlag("expect-subset",
			"expect the MPEG-TS of `FILE` less whole groups of pictures, plus what reconnects repeat (or PATH=FILE)"),
		&ucli.BoolFlag{Name: "expect-clean",
			Usage: "expect clean MPEG-TS: sync, continuity except at announced gaps, " +
				"PAT and PMT, a keyframe first, timestamps without jumps, PCR"},
		cli.DurationFlag("max-pcr-interval", mpegts.DefaultPCRInterval,
			"the longest time between two PCRs that --expect-clean allows, `D`"),
		cli.DurationFlag("max-timestamp-interval", mpegts.DefaultTimestampInterval,
			"the longest time between two timestamps of audio or video that --expect-clean allows, `D`"),
	}
}

func faultFlags() []ucli.Flag {
	return []ucli.Flag{
		cli.RepeatedFlag("fault",
			"make something go wrong, for example 'conn=2,after=1MiB,do=reset': `SPEC`; see vw-testserver faults"),
		&ucli.Uint64Flag{Name: "seed", Value: 1, Usage: "decides about faults with a probability, `N`"},
	}
}

func outputFlags() []ucli.Flag {
	return []ucli.Flag{
		&ucli.StringFlag{Name: "report", Usage: "also write the report to `FILE`"},
		&ucli.StringFlag{Name: "junit", Usage: "write the verdict to `FILE` as JUnit XML"},
		&ucli.StringFlag{Name: "announce", Usage: "write the URL to `FILE` atomically, when it listens"},
		cli.DurationFlag("stats", 0, "log statistics on stderr every `D`"),
		&ucli.BoolFlag{Name: "verbose",
			Usage: "log connections, refused handshakes and faults on stderr, not only errors"},
	}
}

func readConfig(c *ucli.Context) (config, error) {
	log, err := cli.ReadLog(c)
	if err != nil {
		return config{}, err
	}
	listen := c.String("listen")
	_, port, err := net.SplitHostPort(listen)
	switch {
	case err != nil || port == "":
		return config{}, cli.Usagef("invalid value %q for --listen: not HOST:PORT", listen)
	case c.Int("conns") < 0:
		return config{}, cli.Usagef("invalid value for --conns: must not be negative")
	case cli.Size(c, "max-message") == 0:
		return config{}, cli.Usagef("invalid value for --max-message: must not be 0")
	case cli.Duration(c, "max-pcr-interval") == 0:
		return config{}, cli.Usagef("invalid value for --max-pcr-interval: must not be 0")
	case cli.Duration(c, "max-timestamp-interval") == 0:
		return config{}, cli.Usagef("invalid value for --max-timestamp-interval: must not be 0")
	case c.Bool("verbose") && c.Bool("quiet"):
		return config{}, cli.Usagef("--verbose with --quiet")
	case c.IsSet("tls-ca") && !c.Bool("tls"):
		return config{}, cli.Usagef("--tls-ca without --tls")
	}
	if err := checkFiles(c); err != nil {
		return config{}, err
	}
	expectations, err := readExpectations(c)
	if err != nil {
		return config{}, err
	}
	var faults []testserver.Fault
	for _, spec := range cli.Repeated(c, "fault") {
		f, err := parseFault(spec)
		if err != nil {
			err = cli.Usagef("invalid value %q for --fault: %w", spec, err)
			return config{}, cli.WithHint(err, "vw-testserver faults lists all faults")
		}
		faults = append(faults, f)
	}
	token, err := cli.ReadSecret(c.String("token-file"), "VW_TESTSERVER_TOKEN")
	if err != nil {
		return config{}, err
	}
	return config{
		server: testserver.Options{
			Listen: listen, TLS: c.Bool("tls"), Token: token,
			Conns: c.Int("conns"), Bytes: cli.Size(c, "bytes"),
			Timeout: cli.Duration(c, "timeout"), Linger: cli.Duration(c, "linger"),
			MaxMessage: cli.Size(c, "max-message"),
			Save:       c.String("save"), Arrivals: c.String("arrivals"), Start: started,
			Expectations: expectations, MaxPCRInterval: cli.Duration(c, "max-pcr-interval"),
			MaxTimestampInterval: cli.Duration(c, "max-timestamp-interval"),
			Faults:               faults, Seed: c.Uint64("seed"),
			Log: cli.NewLogger(cli.Stderr, name, log, !c.Bool("verbose")),
		},
		stats: cli.Duration(c, "stats"), statsLog: cli.NewLogger(cli.Stderr, name, log, false),
		authority: c.String("tls-ca"),
		report:    c.String("report"),
		junit:     c.String("junit"),
		announce:  c.String("announce"),
	}, nil
}

// checkFiles refuses two outputs with one file: one of them would be lost.
func checkFiles(c *ucli.Context) error {
	flags := map[string]string{}
	for _, flag := range []string{"report", "junit", "announce", "tls-ca", "arrivals"} {
		if c.String(flag) == "" {
			continue
		}
		path, err := filepath.Abs(c.String(flag))
		if err != nil {
			return err
		}
		if other := flags[path]; other != "" {
			return cli.Usagef("--%s and --%s name the same file", other, flag)
		}
		flags[path] = flag
	}
	return nil
}
