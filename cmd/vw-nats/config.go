package main

import (
	"os"
	"slices"
	"strings"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/natspipe"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// tokenVariable is the environment variable that may hold the token.
const tokenVariable = "VW_NATS_TOKEN"

func flags() []ucli.Flag {
	return slices.Concat([]ucli.Flag{
		&ucli.StringFlag{Name: "server", Value: "nats://127.0.0.1:4222",
			Usage: "connect to one of the servers `URL,…`: nats, tls, ws or wss; others of the cluster are learned"},
		&ucli.StringFlag{Name: "creds", Usage: "show the credentials in `FILE`; it is read again at each dial"},
		&ucli.StringFlag{Name: "nkey",
			Usage: "prove to have the nkey whose seed is in `FILE`; it is read again at each dial"},
		&ucli.StringFlag{Name: "token-file",
			Usage: "show the token in `FILE`; it is read again at each dial (or " + tokenVariable + ")"},
	}, cli.TLSFlags(), []ucli.Flag{
		&ucli.StringFlag{Name: "retain",
			Usage: "the JetStream stream `NAME` keeps what is sent on the subject: with --live its current group of " +
				"pictures; without, all of it, and the name is needed for --create only"},
		cli.DurationFlag("dial-timeout", 5*time.Second, "a dial may take `D` for each server"),
		cli.DurationFlag("dead-after", 3*time.Second,
			"leave a server that does not answer for `D`; 10s is right for an uplink that may be full"),
	}, cli.BackoffFlags())
}

func pubFlags() []ucli.Flag {
	return cli.InCategory("Flags of pub",
		cli.SizeFlag("max-message", 256<<10,
			"send messages of at most `SIZE`, or of what the server takes if that is less"),
		&ucli.BoolFlag{Name: "create", Usage: "create the stream of --retain if there is none"},
		&ucli.IntFlag{Name: "replicas", Value: 1, Usage: "with --create: keep it on `N` servers"},
		cli.SizeFlag("keep-size", 0, "with --create, without --live: it holds at most `SIZE`, and then takes no more; "+
			"0 is as much as the server allows"),
		cli.DurationFlag("keep-age", 0,
			"with --create, without --live: it holds nothing longer than `D`; 0 is for ever"),
	)
}

func subFlags() []ucli.Flag {
	return cli.InCategory("Flags of sub",
		&ucli.StringFlag{Name: "durable",
			Usage: "without --live: remember under `NAME`, in the JetStream stream, what standard output has taken"})
}

func readOptions(c *ucli.Context, command string) (o natspipe.Options, err error) {
	d, err := cli.ReadDialing(c)
	if err != nil {
		return o, err
	}
	o = natspipe.Options{
		Servers: strings.Split(c.String("server"), ","),
		Subject: c.Args().First(),
		Creds:   c.String("creds"),
		NKey:    c.String("nkey"),
		TLS:     wsconn.TLSFiles{CA: d.CA, Cert: d.Cert, Key: d.Key},
		Retain:  c.String("retain"), Create: c.Bool("create"), Replicas: c.Int("replicas"),
		KeepSize: cli.Size(c, "keep-size"), KeepAge: cli.Duration(c, "keep-age"),
		Durable:     c.String("durable"),
		DialTimeout: d.DialTimeout, DeadAfter: d.DeadAfter, BackoffMin: d.BackoffMin, BackoffMax: d.BackoffMax,
		MaxMessage: d.MaxMessage,
	}
	if err := checkCommand(c, command); err != nil {
		return o, err
	}
	file := c.String("token-file")
	_, inEnv := os.LookupEnv(tokenVariable)
	if file != "" || inEnv {
		o.Token = func() (string, error) { return cli.ReadSecret(file, tokenVariable) }
	}
	given := 0
	for _, name := range []string{"creds", "nkey", "token-file"} {
		if c.IsSet(name) {
			given++
		}
	}
	live := c.Bool("live")
	switch {
	case given > 1:
		return o, cli.Usagef("only one of --creds, --nkey and --token-file")
	case o.Create && o.Retain == "":
		return o, cli.Usagef("--create without --retain: the stream needs a name")
	case !o.Create && (c.IsSet("replicas") || c.IsSet("keep-size") || c.IsSet("keep-age")):
		return o, cli.Usagef("--replicas, --keep-size and --keep-age are for --create")
	case live && (c.IsSet("keep-size") || c.IsSet("keep-age")):
		return o, cli.Usagef("--keep-size and --keep-age with --live: only the current group of pictures is kept")
	case o.Replicas < 1:
		return o, cli.Usagef("--replicas must be 1 or more")
	case strings.ContainsAny(o.Retain+o.Durable, " \t.*>/\\"):
		return o, cli.Usagef("the names of --retain and --durable have no blanks, dots, slashes, * and >")
	case command == "sub" && !live && o.Durable == "":
		return o, cli.WithHint(cli.Usagef("sub without --live needs --durable NAME"),
			"under that name the servers remember what was delivered; with --live nothing is remembered")
	case live && o.Durable != "":
		return o, cli.Usagef("--durable with --live: nothing is remembered of a live stream")
	}
	for _, server := range o.Servers {
		if err := natspipe.CheckServer(server); err != nil {
			return o, cli.WithHint(cli.Usagef("--server: %w", err), "such as nats://host:4222 or wss://host")
		}
	}
	if o.Proxy, err = wsconn.ProxyFromEnv(os.Getenv); err != nil {
		return o, cli.WithHint(cli.Usagef("in the environment: %w", err),
			"write it as http://user:password@host:port or socks5://host:port, or unset it")
	}
	return o, nil
}

// checkCommand checks the command, its argument, and that each flag is one of its own.
func checkCommand(c *ucli.Context, command string) error {
	const hint = "vw-nats pub [flags] SUBJECT, or vw-nats sub [flags] SUBJECT"
	if command == "" {
		return cli.WithHint(cli.Usagef("neither pub nor sub"), hint)
	}
	if c.NArg() != 1 {
		return cli.WithHint(cli.Usagef("one subject is needed, not %d", c.NArg()), hint)
	}
	if err := natspipe.CheckSubject(c.Args().First()); err != nil {
		return cli.Usagef("subject %q: %w", c.Args().First(), err)
	}
	others := subFlags()
	if command == "sub" {
		others = pubFlags()
	}
	for _, f := range others {
		if name := f.Names()[0]; c.IsSet(name) {
			return cli.Usagef("--%s is not for vw-nats %s", name, command)
		}
	}
	return nil
}
