package cli

import (
	"time"

	ucli "github.com/urfave/cli/v2"
)

// Dialing is what the flags say that all tools have which dial servers.
type Dialing struct {
	CA, Cert, Key          string // files; "": none
	DialTimeout, DeadAfter time.Duration
	BackoffMin, BackoffMax time.Duration
	MaxMessage             int // bytes; at least a packet
}

// TLSFlags are --ca, --cert and --key.
func TLSFlags() []ucli.Flag {
	return []ucli.Flag{
		&ucli.StringFlag{Name: "ca", Usage: "trust the certificate authorities in `FILE` (PEM) and no others"},
		&ucli.StringFlag{Name: "cert", Usage: "show the client certificate in `FILE` (PEM)"},
		&ucli.StringFlag{Name: "key", Usage: "its key in `FILE` (PEM)"},
	}
}

// BackoffFlags are --backoff-min and --backoff-max.
func BackoffFlags() []ucli.Flag {
	return []ucli.Flag{
		DurationFlag("backoff-min", 250*time.Millisecond, "wait at least `D` before dialling again"),
		DurationFlag("backoff-max", 30*time.Second, "wait at most `D` before dialling again"),
	}
}

// minDeadAfter is how soon a link may be taken for dead: less than that, and a live one would be.
const minDeadAfter = 10 * time.Millisecond

// ReadDialing reads TLSFlags, BackoffFlags, --dial-timeout, --dead-after and --max-message, and checks them.
func ReadDialing(c *ucli.Context) (Dialing, error) {
	d := Dialing{
		CA: c.String("ca"), Cert: c.String("cert"), Key: c.String("key"),
		DialTimeout: Duration(c, "dial-timeout"),
		DeadAfter:   Duration(c, "dead-after"),
		BackoffMin:  Duration(c, "backoff-min"),
		BackoffMax:  Duration(c, "backoff-max"),
		MaxMessage:  int(min(Size(c, "max-message"), 1<<30)),
	}
	switch {
	case d.MaxMessage < MinBuffer:
		return d, Usagef("--max-message is less than one packet (%d bytes)", MinBuffer)
	case d.DeadAfter < minDeadAfter:
		return d, Usagef("--dead-after is less than %v", minDeadAfter)
	case d.DialTimeout <= 0, d.BackoffMin <= 0:
		return d, Usagef("--dial-timeout and --backoff-min must be more than 0")
	case d.BackoffMax < d.BackoffMin:
		return d, Usagef("--backoff-max is less than --backoff-min")
	case (d.Cert == "") != (d.Key == ""):
		return d, Usagef("--cert and --key go together")
	}
	return d, nil
}
