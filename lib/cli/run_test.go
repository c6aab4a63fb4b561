package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	ucli "github.com/urfave/cli/v2"
)

// testApp has a flag of each kind. Its action stores what it was given.
func testApp(argsUsage string, got *[]string, result error) *ucli.App {
	return &ucli.App{
		Name:      "vw-test",
		Usage:     "try things",
		ArgsUsage: argsUsage,
		Flags: append([]ucli.Flag{
			RepeatedFlag("header", "send `'Name: value'`"),
			&ucli.IntFlag{Name: "count", Usage: "stop after `N`"},
			&ucli.BoolFlag{Name: "once", Usage: "end when the first of all publishers ends"},
			DurationFlag("a-flag-with-a-long-name", time.Second, "wait `D`"),
		}, CommonFlags(0)...),
		Action: func(c *ucli.Context) error {
			*got = append(Repeated(c, "header"), c.Args().Slice()...)
			if _, err := ReadCommon(c); err != nil {
				return err
			}
			return result
		},
	}
}

const (
	seeHelp    = "vw-test: hint: vw-test --help lists the flags\n"
	flagsFirst = "vw-test: hint: flags stand before the arguments; write -- in front of an argument that " +
		"begins with a dash\n"
)

// runs are command lines of a tool, and what they end with.
var runs = []struct {
	name      string
	args      string // split at spaces
	argsUsage string
	result    error
	status    int
	got       []string // what reached the action: headers and arguments
	stderr    string
}{
	{name: "nothing"},
	{name: "one dash", args: "-once -header a", got: []string{"a"}},
	{name: "two dashes", args: "--once --header=a", got: []string{"a"}},
	{name: "commas do not split", args: "--header a,b --header c", got: []string{"a,b", "c"}},
	{name: "arguments", args: "--once u v", argsUsage: "URL", got: []string{"u", "v"}},
	{name: "an argument called as a command would be", args: "help", argsUsage: "URL", got: []string{"help"}},
	{name: "an argument called as a flag is", args: "once", argsUsage: "URL", got: []string{"once"}},
	{name: "one dash is an argument", args: "-", argsUsage: "URL", got: []string{"-"}},
	{name: "dash after --", args: "--once -- u -v", argsUsage: "URL", got: []string{"u", "-v"}},
	{name: "-- and nothing", args: "--", argsUsage: "URL"},
	{name: "-- as a value", args: "--header -- u", argsUsage: "URL", got: []string{"--", "u"}},

	{name: "unknown flag", args: "--frobnicate", status: 2, stderr: "vw-test: error: unknown flag --frobnicate\n" +
		seeHelp},
	{name: "nearly a flag", args: "--bufer 1", status: 2,
		stderr: "vw-test: error: unknown flag --bufer\nvw-test: hint: did you mean --buffer? vw-test --help " +
			"lists the flags\n"},
	{name: "unknown flag's value may be a secret", args: "--tok=secret", status: 2,
		stderr: "vw-test: error: unknown flag --tok\n" + seeHelp},
	{name: "no value", args: "--buffer", status: 2, stderr: "vw-test: error: flag --buffer needs a value\n"},
	{name: "an empty value", args: "--ledger=", status: 2, stderr: "vw-test: error: flag --ledger needs a value\n"},
	{name: "bad size", args: "--buffer 10M", status: 2,
		stderr: "vw-test: error: invalid value \"10M\" for --buffer: \"M\" means two things: " +
			"write MB (powers of 1000) or MiB (powers of 1024)\n"},
	{name: "bad duration", args: "--linger 10", status: 2,
		stderr: "vw-test: error: invalid value \"10\" for --linger: not a duration (300ms, 10s, 1h30m, 7d, 2w)\n"},
	{name: "negative duration", args: "-linger -1s", status: 2,
		stderr: "vw-test: error: invalid value \"-1s\" for --linger: must not be negative\n"},
	{name: "bad number", args: "--count x", status: 2,
		stderr: "vw-test: error: invalid value \"x\" for --count: parse error\n"},
	{name: "bad switch", args: "--once=x", status: 2,
		stderr: "vw-test: error: invalid boolean value \"x\" for --once: parse error\n"},
	{name: "leftover argument", args: "--once u", status: 2,
		stderr: "vw-test: error: unexpected argument \"u\"\nvw-test: hint: vw-test takes flags only; see " +
			"vw-test --help\n"},
	{name: "leftover secret", args: "ws://user:secret@host/?secret", status: 2,
		stderr: "vw-test: error: unexpected argument \"ws://…\"\nvw-test: hint: vw-test takes flags only; see " +
			"vw-test --help\n"},
	{name: "flag after an argument", args: "u --header=secret", argsUsage: "URL", status: 2,
		stderr: "vw-test: error: flag --header after the first argument\n" + flagsFirst},
	{name: "flag after an argument after a value --", args: "--header -- u --once", argsUsage: "URL", status: 2,
		stderr: "vw-test: error: flag --once after the first argument\n" + flagsFirst},
	{name: "help after an argument", args: "u --help", argsUsage: "URL", status: 2,
		stderr: "vw-test: error: flag --help after the first argument\n" + flagsFirst},

	{name: "error", result: errors.New("no luck"), status: 1, stderr: "vw-test: error: no luck\n"},
	{name: "status", result: WithStatus(errors.New("lost some"), 3), status: 3,
		stderr: "vw-test: error: lost some\n"},
	{name: "said already", result: WithStatus(nil, 3), status: 3},
	{name: "an exit coder does not exit", result: ucli.Exit("no luck", 9), status: 1,
		stderr: "vw-test: error: no luck\n"},
	{name: "several errors", status: 1,
		result: errors.Join(WithStatus(errors.New("a"), 3), WithHint(errors.New("b"), "c")),
		stderr: "vw-test: error: a\nvw-test: error: b\nvw-test: hint: c\n"},
	{name: "wrong usage is explained in words", args: "--log json --max-age 1s", status: 2,
		stderr: "vw-test: error: --max-age without --live\nvw-test: hint: without --live nothing is dropped " +
			"for its age\n"},
}

func TestRun(t *testing.T) {
	for _, tc := range runs {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			var stdout, stderr bytes.Buffer
			args := append([]string{"vw-test"}, strings.Fields(tc.args)...)
			status := Run(testApp(tc.argsUsage, &got, tc.result), args, &stdout, &stderr)
			if status != tc.status {
				t.Errorf("status: got %d, want %d", status, tc.status)
			}
			if tc.status != ExitUsage && !(len(got) == 0 && len(tc.got) == 0) && !reflect.DeepEqual(got, tc.got) {
				t.Errorf("the action was given %q, want %q", got, tc.got)
			}
			if stdout.Len() != 0 {
				t.Errorf("stdout: got %q, want nothing", stdout.String())
			}
			if stderr.String() != tc.stderr {
				t.Errorf("stderr:\n got %q\nwant %q", stderr.String(), tc.stderr)
			}
		})
	}
}

func TestRunLogsErrorsAsJSON(t *testing.T) {
	var got []string
	var stdout, stderr bytes.Buffer
	app := testApp("", &got, WithHint(errors.New("no luck"), "try again"))
	if status := Run(app, []string{"vw-test", "--log", "json", "--quiet"}, &stdout, &stderr); status != 1 {
		t.Errorf("status: got %d, want 1", status)
	}
	if stdout.Len() != 0 {
		t.Errorf("stdout: got %q, want nothing", stdout.String())
	}
	var line map[string]any
	if err := json.Unmarshal(stderr.Bytes(), &line); err != nil {
		t.Fatalf("stderr %q: %v", stderr.String(), err)
	}
	delete(line, "time")
	want := map[string]any{"level": "ERROR", "msg": "no luck", "hint": "try again", "status": 1.0, "tool": "vw-test"}
	if !reflect.DeepEqual(line, want) {
		t.Errorf("stderr: got %v, want %v", line, want)
	}
}

func TestRunDoesNotSwallowPanics(t *testing.T) {
	defer func() {
		if got := recover(); got != "at the disco" {
			t.Errorf("recovered %v", got)
		}
	}()
	app := &ucli.App{Name: "vw-test", Action: func(*ucli.Context) error { panic("at the disco") }}
	Run(app, []string{"vw-test"}, io.Discard, io.Discard)
}

func TestHelp(t *testing.T) {
	for _, flag := range []string{"--help", "-help", "-h"} {
		var got []string
		var stdout, stderr bytes.Buffer
		// An argument is no topic, and a bad combination does not matter to who wants help.
		args := []string{"vw-test", "--buffer", "1kB", "--max-age", "1s", flag, "topic"}
		if status := Run(testApp("URL [URL …]", &got, nil), args, &stdout, &stderr, ExitTimeout); status != 0 {
			t.Errorf("%s: status: got %d, want 0", flag, status)
		}
		if stderr.Len() != 0 {
			t.Errorf("%s: stderr: got %q, want nothing", flag, stderr.String())
		}
		want, err := os.ReadFile("testdata/help.txt")
		if err != nil {
			t.Fatal(err)
		}
		if stdout.String() != string(want) {
			t.Errorf("%s: stdout is not testdata/help.txt:\n%s", flag, stdout.String())
		}
	}
}

func TestHelpFitsATerminal(t *testing.T) {
	app := testApp("URL", new([]string), nil)
	for line := range strings.Lines(helpText(app, []int{ExitExpectation, ExitTimeout})) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > helpWidth {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}

func TestHelpThatCannotBePrinted(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	defer full.Close()
	var stderr bytes.Buffer
	status := Run(testApp("", new([]string), nil), []string{"vw-test", "--help"}, full, &stderr)
	if want := "vw-test: error: write /dev/full: no space left on device\n"; status != 1 || stderr.String() != want {
		t.Errorf("got status %d, stderr %q; want 1, %q", status, stderr.String(), want)
	}
}

func TestLicenses(t *testing.T) {
	var stdout, stderr bytes.Buffer
	status := Run(testApp("URL", new([]string), nil), []string{"vw-test", "--licenses"}, &stdout, &stderr)
	if status != 0 || !strings.Contains(stdout.String(), "Go") || stderr.Len() != 0 {
		t.Errorf("got status %d, stdout %q, stderr %q", status, stdout.String(), stderr.String())
	}
}

func TestVersion(t *testing.T) {
	var stdout, stderr bytes.Buffer
	status := Run(testApp("URL", new([]string), nil), []string{"vw-test", "--version"}, &stdout, &stderr)
	if want := "vw-test " + Version() + "\n"; status != 0 || stdout.String() != want || stderr.Len() != 0 {
		t.Errorf("got status %d, stdout %q, stderr %q; want 0, %q, nothing", status, stdout.String(), stderr.String(),
			want)
	}
}

func TestVersionOf(t *testing.T) {
	commit := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"},
		{Key: "vcs.modified", Value: "true"}}
	for name, tc := range map[string]struct {
		info debug.BuildInfo
		want string
	}{
		"installed": {debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: commit}, "v1.2.3"},
		"built": {debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: commit},
			"devel-0123456789ab+dirty"},
		"unknown": {debug.BuildInfo{}, "devel"},
	} {
		if got := versionOf(&tc.info); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}
