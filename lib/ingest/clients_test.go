package ingest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What real clients see.

func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("SKIPPED: %s is not installed", name)
	}
	return path
}

func TestCurl(t *testing.T) {
	t.Parallel()
	curl := program(t, "curl")
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<19)
	dir := t.TempDir()
	for name, data := range map[string][]byte{"big": big, "small": big[:100]} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := start(t, Options{Tokens: tokens(t, "s"), MaxBody: 1 << 20})
	busy := start(t, Options{})
	busy.begin(chunkedPost)
	busy.awaitPublisher()
	for _, c := range []struct {
		url    string
		status string
		out    int
	}{
		{r.url("/"), "401", 0},
		{r.url("/s"), "", 0},
		{busy.url("/"), "409", 0},
	} {
		for _, body := range []struct {
			args   []string
			name   string
			status string // after the token
		}{
			{[]string{"-T", "-"}, "big", "413"},
			{[]string{"-T", "-"}, "small", "204"},
			{[]string{"--data-binary", "@" + dir + "/big"}, "big", "413"},
			{[]string{"--data-binary", "@" + dir + "/small"}, "small", "204"},
			{[]string{"-H", "Expect:", "--data-binary", "@" + dir + "/big"}, "big", "413"},
			{[]string{"-H", "Expect: 100-continue", "--data-binary", "@" + dir + "/small"}, "small", "204"},
			{[]string{"-X", "POST"}, "small", "411"},
			{[]string{"-X", "DELETE"}, "small", "405"},
		} {
			want := c.status
			if want == "" || body.status == "405" || body.status == "411" && want == "409" {
				want = body.status
			}
			cmd := exec.Command(curl, append([]string{"-s", "-S", "-m", "10", "-o", os.DevNull, "-w", "%{http_code}"},
				append(body.args, c.url)...)...)
			in, err := os.Open(filepath.Join(dir, body.name))
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdin = in
			out, err := cmd.CombinedOutput()
			in.Close()
			if err != nil || string(out) != want {
				t.Errorf("curl %s: %s, %v; not %s", strings.Join(cmd.Args[1:], " "), out, err, want)
			}
		}
	}
}

func TestFfmpegIsCutAtOnce(t *testing.T) {
	ffmpeg := program(t, "ffmpeg")
	// A minute of a camera: none of these would end by itself.
	args := func(more ...string) []string {
		return append([]string{"-nostdin", "-loglevel", "error", "-re", "-f", "lavfi", "-i",
			"testsrc=duration=60:rate=25",
			"-c:v", "mpeg1video", "-b:v", "1300k", "-f", "mpegts"}, more...)
	}
	r := start(t, Options{Tokens: tokens(t, "s")})
	busy := start(t, Options{})
	busy.begin(chunkedPost)
	busy.awaitPublisher()
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"401":                 {args(r.url("/cam")), "Broken pipe"},
		"409":                 {args(busy.url("/cam")), "Broken pipe"},
		"401 to a password":   {args(strings.Replace(r.url("/cam"), "//", "//user:wrong@", 1)), "Broken pipe"},
		"401 before the body": {args("-send_expect_100", "1", r.url("/cam")), "401"},
		"411":                 {args("-chunked_post", "0", r.url("/s")), "Broken pipe"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(ffmpeg, c.args...)
			var text bytes.Buffer
			cmd.Stderr = &text
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			late := time.AfterFunc(testTimeout, func() { _ = cmd.Process.Kill() })
			err := cmd.Wait()
			if !late.Stop() {
				t.Error("it goes on and on")
			}
			if err == nil || !strings.Contains(text.String(), c.says) {
				t.Errorf("%v: %s", err, text.String())
			}
		})
	}
}

func TestFfmpegPublishes(t *testing.T) {
	ffmpeg := program(t, "ffmpeg")
	for name, c := range map[string]struct {
		args  []string
		token func(string) string
	}{
		"POST":   {nil, func(url string) string { return url + "s/cam" }},
		"PUT":    {[]string{"-method", "PUT"}, func(url string) string { return url + "s/cam" }},
		"Basic":  {nil, func(url string) string { return strings.Replace(url, "//", "//user:s@", 1) }},
		"Bearer": {[]string{"-headers", "Authorization: Bearer s\r\n"}, func(url string) string { return url }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, Options{Tokens: tokens(t, "s"), Once: true})
			copied := filepath.Join(t.TempDir(), "copy.ts")
			cmd := exec.Command(ffmpeg,
				append(append([]string{"-nostdin", "-loglevel", "error", "-i", "../../test/testdata/mpeg1.ts",
					"-c", "copy", "-f", "mpegts"}, c.args...), c.token(r.url("/")))...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if err := r.await(); err != nil {
				t.Error(err)
			}
			if out, err := exec.Command(ffmpeg, "-nostdin", "-loglevel", "error", "-i", "../../test/testdata/mpeg1.ts",
				"-c", "copy",
				"-f", "mpegts", copied).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			want, err := os.ReadFile(copied)
			if err != nil {
				t.Fatal(err)
			}
			r.expectOut(want)
		})
	}
}
