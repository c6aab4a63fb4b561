package cli

import (
	"io"
	"testing"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/timdrysdale/vw/lib/stream"
)

// readCommon runs ReadCommon in a tool whose --max-age is 2s by default.
func readCommon(args ...string) (got Common, err error) {
	app := &ucli.App{Name: "vw-test", Flags: CommonFlags(2 * time.Second), Action: func(c *ucli.Context) error {
		got, err = ReadCommon(c)
		return nil
	}}
	Run(app, append([]string{"vw-test"}, args...), io.Discard, io.Discard)
	return got, err
}

func TestReadCommon(t *testing.T) {
	plain := Common{Format: stream.Auto, Buffer: 16 << 20, Linger: 10 * time.Second, Log: "text"}
	with := func(change func(*Common)) Common {
		c := plain
		change(&c)
		return c
	}
	for name, tc := range map[string]struct {
		args []string
		want Common
	}{
		"none": {nil, plain},
		"live": {[]string{"--live"}, with(func(c *Common) { c.Live, c.MaxAge = true, 2*time.Second })},
		"age": {[]string{"--live", "--max-age", "5s"}, with(func(c *Common) {
			c.Live, c.MaxAge = true, 5*time.Second
		})},
		"age off":  {[]string{"--live", "--max-age", "0"}, with(func(c *Common) { c.Live = true })},
		"smallest": {[]string{"--buffer", "188"}, with(func(c *Common) { c.Buffer = 188 })},
		"all": {[]string{"--format", "ts", "--buffer", "1MiB", "--linger", "0", "--ledger", "l", "--stats", "1m",
			"--log", "json", "--quiet"},
			Common{Format: stream.TS, Buffer: 1 << 20, Ledger: "l", Stats: time.Minute, Log: "json", Quiet: true}},
	} {
		if got, err := readCommon(tc.args...); err != nil || got != tc.want {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, tc.want)
		}
	}
}

func TestReadCommonRefuses(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"--format", "mp4"}, `invalid value for --format: unknown format "mp4" (auto, ts or raw)`},
		{[]string{"--log", "xml"}, `invalid value for --log: unknown form "xml" (text or json)`},
		{[]string{"--buffer", "187"}, "--buffer 187 is less than one packet (188 bytes)"},
		{[]string{"--max-age", "1s"}, "--max-age without --live"},
		{[]string{"--max-age", "0"}, "--max-age without --live"},
	} {
		got, err := readCommon(tc.args...)
		if err == nil || err.Error() != tc.want || Status(err) != ExitUsage {
			t.Errorf("%q: got %+v, %v (status %d), want %q (status 2)", tc.args, got, err, Status(err), tc.want)
		}
	}
}
