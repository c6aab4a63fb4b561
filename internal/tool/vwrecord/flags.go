package vwrecord

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/record"
	"github.com/timdrysdale/vw/lib/stream"
)

const description = `Files are named by TEMPLATE: strftime conversions for the time at which the file
begins, in UTC, as in 'rec/cam1-%Y%m%dT%H%M%SZ.ts'. Folders are made. A name that
is taken gets _001, _002, … before its extension; nothing is ever overwritten. A
file has its name when it is whole and on the disk; until then it is a hidden file
in the same folder. What a crash left of one is kept at the next start, as
NAME.partial.ts.

A file ends at the first keyframe at or after a --rotate limit. If none comes
within one more limit, it ends there, and the next file begins without one. A
stream that is not MPEG-TS is cut at the byte. A file that does not begin with PAT
and PMT gets them put in front.

With a --keep flag or --min-free, the oldest files are deleted: those of the
manifest, or without one those whose names TEMPLATE makes; in the order in which
they were recorded; never the newest. A disk that is full then costs the oldest
file, too.

With --exec and --manifest, the command runs again for a file until it ends with
status 0, also after a restart. With --exec, retention needs --manifest and spares a
file until then. Only a full disk or --min-free, which then is 5 % of the disk unless
given, costs such a file: the log and the manifest name it, and the exit status is 3.

SIGHUP begins a new file at the next keyframe. The first SIGINT or SIGTERM reads on
to the end of standard input and finishes, the second stops now.`

func app() *ucli.App {
	return &ucli.App{
		Name:        "vw-record",
		Usage:       "record standard input to files, each of which plays alone",
		UsageText:   "vw-record [flags] TEMPLATE",
		ArgsUsage:   "TEMPLATE",
		Description: description,
		Metadata:    about.Metadata(),
		Flags:       flags(),
		Action:      run,
	}
}

func flags() []ucli.Flag {
	return slices.Concat(
		cli.InCategory("Where a file ends",
			cli.SizeFlag("rotate-size", 0, "begin a new file after `SIZE`"),
			cli.DurationFlag("rotate-time", 0, "begin a new file after `D`, by the stream's own clock"),
			&ucli.Int64Flag{Name: "rotate-frames", Usage: "begin a new file after `N` video frames"},
			&ucli.BoolFlag{Name: "align", Usage: "with --rotate-time: at multiples of it on the clock, in UTC"},
			cli.SizeFlag("stop-size", 0, "record at most `SIZE` in all, then exit"),
			cli.DurationFlag("stop-time", 0, "record `D` in all, then exit"),
			&ucli.Int64Flag{Name: "stop-frames", Usage: "record `N` video frames in all, then exit"},
		),
		cli.InCategory("What is kept",
			&ucli.Int64Flag{Name: "keep-files", Usage: "keep the newest `N` files, delete older ones"},
			cli.SizeFlag("keep-size", 0, "keep the newest files that take at most `SIZE` on the disk"),
			cli.DurationFlag("keep-age", 0, "delete files that were finished longer than `D` ago"),
			cli.SizeFlag("min-free", 0, "delete the oldest files while less than `SIZE` of the disk is free"),
			cli.DurationFlag("sync", 0, "sync the open file every `D`: what a power cut can take"),
		),
		cli.InCategory("Standard output",
			&ucli.BoolFlag{Name: "tee", Usage: "copy standard input to standard output"},
			&ucli.BoolFlag{Name: "end-with-reader",
				Usage: "with --tee: finish, with status 1, when the reader of standard output has gone"},
		),
		cli.InCategory("Lists and commands",
			&ucli.StringFlag{Name: "manifest",
				Usage: "append a line of JSON for each file, with its SHA-256, to `FILE`"},
			&ucli.StringFlag{Name: "playlist", Usage: "write an HLS playlist of the finished files to `FILE` (.m3u8)"},
			&ucli.IntFlag{Name: "playlist-size", Usage: "show the newest `N` files in the playlist; 0 is all"},
			&ucli.StringFlag{Name: "exec",
				Usage: "run `CMD` for each finished file, which it learns from VW_FILE, VW_BYTES, …"},
			&ucli.IntFlag{Name: "exec-jobs", Value: 1, Usage: "run `N` commands of --exec at once"},
			cli.DurationFlag("exec-timeout", 0, "kill a command of --exec that runs for longer than `D`"),
		),
		cli.CommonFlags(0))
}

var about = cli.About{
	First: []string{"live", "rotate-time", "keep-size", "tee", "manifest"},
	Examples: [][2]string{
		{"Record a camera for months: a new file each ten minutes, 20 GiB in all",
			"ffmpeg -f v4l2 -i /dev/video0 -c:v mpeg1video -bf 0 -g 25 -f mpegts - |\n" +
				"  vw-record --live --rotate-time 10m --keep-size 20GiB 'rec/%Y%m%dT%H%M%SZ.ts'"},
		{"Record what passes by, with hashes", "vw-ingest |\n" +
			"  vw-record --live --tee --rotate-time 10m --manifest rec/m.jsonl 'rec/%Y%m%dT%H%M%SZ.ts' |\n" +
			"  vw-push --live --listen 127.0.0.1:8082"},
		{"Cut a stream into files of a minute", "vw-record --rotate-time 1m 'part.ts' <cam1.ts"},
	},
	Environment: [][2]string{
		{"VW_FILE, VW_START, VW_BYTES …", "not read: set for the command of --exec"},
	},
}

// readFlags turns the flags into a configuration. Its errors have exit status 2.
func readFlags(c *ucli.Context) (config record.Config, err error) {
	config = record.Config{
		Limits: record.Limits{
			RotateSize: cli.Size(c, "rotate-size"), RotateTime: cli.Duration(c, "rotate-time"),
			RotateFrames: c.Int64("rotate-frames"), Align: c.Bool("align"),
			StopSize: cli.Size(c, "stop-size"), StopTime: cli.Duration(c, "stop-time"),
			StopFrames: c.Int64("stop-frames"),
		},
		Keep: record.Retention{
			Files: c.Int64("keep-files"), Size: cli.Size(c, "keep-size"),
			Age: cli.Duration(c, "keep-age"), MinFree: cli.Size(c, "min-free"),
		},
		EndWithReader: c.Bool("end-with-reader"),
		Sync:          cli.Duration(c, "sync"), Manifest: c.String("manifest"),
		Playlist: c.String("playlist"), PlaylistSize: c.Int("playlist-size"),
		Exec: c.String("exec"), ExecOutput: os.Stderr,
		ExecJobs: c.Int("exec-jobs"), ExecTimeout: cli.Duration(c, "exec-timeout"),
	}
	if config.Template, err = template(c); err != nil {
		return config, err
	}
	for name, isPositive := range map[string]bool{
		"rotate-size": config.Limits.RotateSize > 0, "rotate-time": config.Limits.RotateTime > 0,
		"rotate-frames": config.Limits.RotateFrames > 0,
		"stop-size":     config.Limits.StopSize > 0, "stop-time": config.Limits.StopTime > 0,
		"stop-frames": config.Limits.StopFrames > 0,
		"keep-files":  config.Keep.Files > 0, "keep-size": config.Keep.Size > 0,
		"keep-age": config.Keep.Age > 0, "min-free": config.Keep.MinFree > 0,
		"exec-jobs": config.ExecJobs > 0, "exec-timeout": config.ExecTimeout > 0,
	} {
		if c.IsSet(name) && !isPositive {
			return config, cli.Usagef("--%s must be more than 0", name)
		}
	}
	switch {
	case config.Limits.Align && config.Limits.RotateTime == 0:
		err = cli.Usagef("--align without --rotate-time")
	case config.EndWithReader && !c.Bool("tee"):
		err = cli.Usagef("--end-with-reader without --tee")
	case config.PlaylistSize < 0:
		err = cli.Usagef("--playlist-size must not be negative")
	case c.IsSet("playlist-size") && config.Playlist == "":
		err = cli.Usagef("--playlist-size without --playlist")
	case config.Exec == "" && (c.IsSet("exec-jobs") || c.IsSet("exec-timeout")):
		err = cli.Usagef("--exec-jobs or --exec-timeout without --exec")
	case config.Exec != "" && config.Keep.Any() && config.Manifest == "":
		err = cli.WithHint(cli.Usagef("--exec with --keep-* or --min-free needs --manifest"),
			"the manifest says which files the command has carried away, so that no other is deleted")
	default:
		err = checkNames(c, config.Template)
	}
	return config, err
}

// checkNames makes sure that no two of the tool's files, recordings included, share a name.
func checkNames(c *ucli.Context, t *record.Template) error {
	flags := make(map[string]string)
	for _, flag := range []string{"manifest", "playlist", "ledger"} {
		path := c.String(flag)
		if path == "" {
			continue
		}
		path = filepath.Clean(path)
		real := record.RealPath(path)
		if other := flags[real]; other != "" {
			return cli.Usagef("--%s and --%s name one file, %s", other, flag, path)
		}
		if t.Makes(path) {
			return cli.Usagef("--%s names %s, which can be a recording's name", flag, path)
		}
		flags[real] = flag
	}
	return nil
}

func template(c *ucli.Context) (*record.Template, error) {
	const hint = "vw-record 'rec/cam1-%Y%m%dT%H%M%SZ.ts' names files by the time at which they begin"
	switch c.NArg() {
	case 0:
		return nil, cli.WithHint(cli.Usagef("no template for the names of files"), hint)
	case 1:
	default:
		return nil, cli.WithHint(cli.Usagef("more than one template: %q", c.Args().Slice()), hint)
	}
	t, err := record.ParseTemplate(c.Args().First())
	if err != nil {
		return nil, cli.WithHint(cli.Usagef("%w", err), hint)
	}
	return t, nil
}

// statsLine is what --stats logs.
func statsLine(s stream.Snapshot) []slog.Attr {
	attrs := []slog.Attr{slog.Int64("in", s.In.Bytes)}
	for _, out := range s.Out {
		about := []any{
			slog.Int64("confirmed", out.Confirmed), slog.Int64("unconfirmed", out.Unconfirmed),
			slog.Int64("held", out.Held), slog.Int64("dropped", out.Dropped.Sum()),
		}
		name := "stdout"
		if out.Recorded != nil {
			name = "recorded"
			about = append(about, slog.Int64("segments", out.Segments), slog.Int64("frames", out.Frames))
		}
		attrs = append(attrs, slog.Group(name, about...))
	}
	return attrs
}
