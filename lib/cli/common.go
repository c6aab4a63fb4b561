package cli

import (
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/stream"
)

// Common is what the flags say that all pipe tools have.
type Common struct {
	Format stream.Format
	Live   bool
	Buffer int64         // bytes; at least MinBuffer
	MaxAge time.Duration // 0: no limit; always 0 without Live
	Linger time.Duration
	Ledger string        // the file to write; "": none
	Stats  time.Duration // 0: none
	// Progress shows a line on stderr if that is a terminal.
	Progress bool
	Log      string // "text" or "json"
	Quiet    bool
}

// MinBuffer is the smallest --buffer, in bytes: one packet. What is smaller could hold nothing and would never move.
// What makes sense is more (under --live, a group of pictures), but that depends on the stream.
const MinBuffer = 188

const defaultBuffer = 16 << 20

const commonCategory = "Common flags"

// CommonFlags are the flags of Common. maxAge is the default of --max-age with --live; 0 is off.
func CommonFlags(maxAge time.Duration) []ucli.Flag {
	flags := []ucli.Flag{
		&ucli.StringFlag{Name: "format", Value: "auto",
			Usage: "cut the stream as MPEG-TS or as raw bytes: `auto|ts|raw`"},
		&ucli.BoolFlag{Name: "live",
			Usage: "never make the input wait: drop what is too old or too much, in whole groups of pictures"},
		SizeFlag("buffer", defaultBuffer, "hold at most `SIZE` for each output"),
		DurationFlag("max-age", maxAge, "with --live: drop what is older than `D`; 0 is off"),
		DurationFlag("linger", 10*time.Second,
			"after the first signal, and with --live after the end, take at most `D` to finish"),
		&ucli.StringFlag{Name: "ledger",
			Usage: "write the account of all bytes to `FILE`, once a minute and at exit; " +
				"as metrics if it ends in .prom"},
		DurationFlag("stats", 0, "print a line on stderr every `D`"),
		&ucli.BoolFlag{Name: "progress",
			Usage: "show on stderr how it goes, in one line that changes each second, if that is a terminal"},
	}
	for _, f := range flags {
		setCategory(f, commonCategory)
	}
	return append(flags, LogFlags()...)
}

// LogFlags are --log and --quiet, for a tool without the rest of the common flags.
func LogFlags() []ucli.Flag {
	return []ucli.Flag{
		&ucli.StringFlag{Name: "log", Category: commonCategory, Value: "text", Usage: "log on stderr as `text|json`"},
		&ucli.BoolFlag{Name: "quiet", Category: commonCategory, Usage: "log errors only"},
	}
}

func setCategory(f ucli.Flag, name string) {
	switch f := f.(type) {
	case *ucli.StringFlag:
		f.Category = name
	case *ucli.BoolFlag:
		f.Category = name
	case *ucli.GenericFlag:
		f.Category = name
	case *ucli.IntFlag:
		f.Category = name
	case *ucli.Int64Flag:
		f.Category = name
	case *ucli.Uint64Flag:
		f.Category = name
	}
}

// InCategory puts flags below a heading of their own in the help.
func InCategory(name string, flags ...ucli.Flag) []ucli.Flag {
	for _, f := range flags {
		setCategory(f, name)
	}
	return flags
}

// ReadCommon reads and checks the flags of CommonFlags. Its errors have status 2.
func ReadCommon(c *ucli.Context) (Common, error) {
	format, err := stream.ParseFormat(c.String("format"))
	if err != nil {
		return Common{}, Usagef("invalid value for --format: %w", err)
	}
	log, err := ReadLog(c)
	if err != nil {
		return Common{}, err
	}
	common := Common{
		Format: format,
		Live:   c.Bool("live"),
		Buffer: Size(c, "buffer"),
		MaxAge: Duration(c, "max-age"),
		Linger: Duration(c, "linger"),
		Ledger: c.String("ledger"),
		Stats:  Duration(c, "stats"),

		Progress: c.Bool("progress"),

		Log:   log,
		Quiet: c.Bool("quiet"),
	}
	switch {
	case common.Buffer < MinBuffer:
		return Common{}, Usagef("--buffer %s is less than one packet (%d bytes)", FormatSize(common.Buffer), MinBuffer)
	case c.IsSet("max-age") && !common.Live:
		return Common{}, WithHint(Usagef("--max-age without --live"), "without --live nothing is dropped for its age")
	}
	if !common.Live {
		common.MaxAge = 0
	}
	return common, nil
}

// ReadLog reads and checks --log: "text" or "json". Its error has status 2.
func ReadLog(c *ucli.Context) (string, error) {
	switch form := c.String("log"); form {
	case "text", "json":
		return form, nil
	default:
		return "", Usagef("invalid value for --log: unknown form %q (text or json)", form)
	}
}
