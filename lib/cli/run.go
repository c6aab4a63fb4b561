package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/licenses"
)

// Main runs a tool with the process's arguments and ends the process with its exit status. Nothing else in vw exits.
// The help lists the statuses that every tool has, and more.
//
// A broken pipe is an error like any other in vw, not the end of the process. For that SIGPIPE is caught, not ignored:
// an ignored signal stays ignored in the programs that a tool starts, and they may rely on it.
func Main(app *ucli.App, more ...int) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(Run(app, os.Args, os.Stdout, Stderr, more...))
}

// Run runs a tool and returns its exit status. args begins with the program's name. The app needs Name, Usage, Flags
// and Action; it takes arguments if it has an ArgsUsage. Before, After, Commands and required flags are not for it.
//
// Help, the manual page, licenses and the version, when asked for, go to stdout. The error of the Action goes to
// stderr, and so does wrong usage: unknown flags, bad values, flags after the first argument (but for those after --),
// arguments where none are taken. They read "vw-push: error: …" and "vw-push: hint: …"; with --log json the Action's
// errors are log lines instead. Wrong usage is always reported as text: it is found before --log has been read.
func Run(app *ucli.App, args []string, stdout, stderr io.Writer, more ...int) int {
	r := runner{app: *app, args: args, stdout: stdout, stderr: stderr, more: more}
	return r.run()
}

type runner struct {
	app            ucli.App
	args           []string
	stdout, stderr io.Writer
	more           []int

	logForm string // the value of --log, when the Action runs
}

func (r *runner) run() int {
	action := r.app.Action
	r.app.Flags = append(r.app.Flags[:len(r.app.Flags):len(r.app.Flags)], InCategory(helpCategory,
		&ucli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "print this help"},
		&ucli.BoolFlag{Name: "man", Usage: "print the manual page, for man -l -"},
		&ucli.StringFlag{Name: "completion", Usage: "print the completion of flags for `bash|zsh|fish`"},
		&ucli.BoolFlag{Name: "licenses", Usage: "print the licenses of what is built in"},
		&ucli.BoolFlag{Name: "version", Usage: "print the version"})...)
	asked, value, dashDash := r.scan()
	switch asked {
	case "help":
		return r.finish(r.print(helpText(&r.app, r.more)))
	case "man":
		return r.finish(r.print(manPage(&r.app, r.more)))
	case "completion":
		text, err := completion(&r.app, value)
		if err != nil {
			return r.finish(err)
		}
		return r.finish(r.print(text))
	case "licenses":
		return r.finish(r.print(licenses.Text()))
	case "version":
		return r.finish(r.print(r.app.Name + " " + Version() + "\n"))
	}

	// Not by App.Run: it prints usage to stdout, takes an argument after --help for a topic, splits values at commas,
	// has exit statuses of its own, and brings in text/template, for which the linker must keep every method of every
	// type: a sixth of the program.
	set := flag.NewFlagSet(r.app.Name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range r.app.Flags {
		if err := f.Apply(set); err != nil {
			return r.finish(err)
		}
	}
	if err := set.Parse(r.args[1:]); err != nil {
		return r.finish(r.translateFlagError(err))
	}
	if err := r.checkArguments(set.Args(), dashDash); err != nil {
		return r.finish(err)
	}
	c := ucli.NewContext(&r.app, set, nil)
	if err := checkValues(c); err != nil {
		return r.finish(err)
	}
	r.logForm = c.String("log")
	return r.finish(action(c))
}

// scan walks over the flags as package flag does. It returns which text is asked for, whatever else is wrong: the help,
// the manual page, the licenses, the version, or the completion for the shell in value; and whether "--" ends the
// flags.
func (r *runner) scan() (asked, value string, dashDash bool) {
	for i := 1; i < len(r.args); i++ {
		arg := r.args[i]
		if len(arg) < 2 || arg[0] != '-' {
			return "", "", false
		}
		if arg == "--" {
			return "", "", true
		}
		name, value, valued := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !valued && i+1 < len(r.args) {
			value = r.args[i+1]
		}
		switch {
		case name == "help" || name == "h":
			return "help", "", false
		case name == "man" || name == "licenses" || name == "version":
			return name, "", false
		case name == "completion" && (valued || i+1 < len(r.args)):
			return name, value, false
		case !valued && takesValue(r.app.Flags, name):
			i++ // the next one is its value, even if it reads as a flag
		}
	}
	return "", "", false
}

func takesValue(flags []ucli.Flag, name string) bool {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			doc, ok := f.(ucli.DocGenerationFlag)
			return ok && doc.TakesValue()
		}
	}
	return false
}

// print writes text that was asked for. Whoever asked and went away needs no error, but the status.
func (r *runner) print(text string) error {
	_, err := io.WriteString(r.stdout, text)
	if errors.Is(err, syscall.EPIPE) {
		return WithStatus(nil, ExitFailed)
	}
	return err
}

// checkArguments refuses what urfave/cli lets pass. rest is what stands after the flags.
func (r *runner) checkArguments(rest []string, dashDash bool) error {
	if len(rest) == 0 {
		return nil
	}
	if r.app.ArgsUsage == "" {
		return WithHint(Usagef("unexpected argument %s", withoutSecret(rest[0])),
			r.app.Name+" takes flags only; see "+r.app.Name+" --help")
	}
	if dashDash {
		return nil
	}
	for _, arg := range rest {
		if len(arg) > 1 && arg[0] == '-' {
			name, _, _ := strings.Cut(arg, "=")
			return WithHint(Usagef("flag %s after the first argument", name),
				"flags stand before the arguments; write -- in front of an argument that begins with a dash")
		}
	}
	return nil
}

// checkValues refuses a flag with an empty text. It is mostly a variable of the shell that is not set, and the flag
// must not be taken for one that was not given: --token-file "$TOKEN" would let everybody publish.
func checkValues(c *ucli.Context) error {
	for _, f := range c.App.Flags {
		if f, ok := f.(*ucli.StringFlag); ok && c.IsSet(f.Name) && c.String(f.Name) == "" {
			return Usagef("flag --%s needs a value", f.Name)
		}
	}
	return nil
}

// withoutSecret quotes an argument, but for what may be a secret in a URL.
func withoutSecret(arg string) string {
	if scheme, _, ok := strings.Cut(arg, "://"); ok {
		return fmt.Sprintf("%q", scheme+"://…")
	}
	return fmt.Sprintf("%q", arg)
}

// Package flag names flags with one dash, and so in its errors.
const (
	unknownFlag = `^flag provided but not defined: -(.*)$`
	noValue     = `^flag needs an argument: -(.*)$`
	badValue    = `^(invalid (?:boolean )?value .*) for (?:flag )?-([^ :"]+): (.*)$`
)

// translateFlagError words an error of flag parsing as vw does.
func (r *runner) translateFlagError(err error) error {
	text := err.Error()
	if m := regexp.MustCompile(unknownFlag).FindStringSubmatch(text); m != nil {
		return WithHint(Usagef("unknown flag --%s", m[1]), r.suggest(m[1]))
	}
	if m := regexp.MustCompile(noValue).FindStringSubmatch(text); m != nil {
		return Usagef("flag --%s needs a value", m[1])
	}
	if m := regexp.MustCompile(badValue).FindStringSubmatch(text); m != nil {
		return Usagef("%s for --%s: %s", m[1], m[2], m[3])
	}
	return Usagef("%s", text)
}

func (r *runner) suggest(unknown string) string {
	hint := r.app.Name + " --help lists the flags"
	// The nearest name is always found, however far: only one that begins alike is worth a hint.
	near := strings.TrimLeft(ucli.SuggestFlag(r.app.Flags, unknown, true), "-")
	if len(near) > 1 && len(unknown) > 1 && strings.EqualFold(near[:2], unknown[:2]) {
		hint = "did you mean --" + near + "? " + hint
	}
	return hint
}

// finish reports err and returns its exit status.
func (r *runner) finish(err error) int {
	status := Status(err)
	for _, m := range messages(err) {
		if r.logForm == "json" && status != ExitUsage {
			args := []any{"status", status}
			if m.hint != "" {
				args = append(args, "hint", m.hint)
			}
			NewLogger(r.stderr, r.app.Name, "json", true).Error(m.text, args...)
			continue
		}
		fmt.Fprintf(r.stderr, "%s: error: %s\n", r.app.Name, m.text)
		if m.hint != "" {
			fmt.Fprintf(r.stderr, "%s: hint: %s\n", r.app.Name, m.hint)
		}
	}
	return status
}
