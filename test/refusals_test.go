package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refusal is a publisher that vw-ingest refuses.
type refusal struct {
	flags  []string
	before bool // another publisher is active
	path   string
	curl   string
	ffmpeg string
	says   string // by ffmpeg; "" is Broken pipe
	status string
}

// TestRefusals: each refusal as curl and as ffmpeg see it, and not a byte of a refused body comes through.
func TestRefusals(t *testing.T) {
	t.Parallel()
	token := write(t, "token", []byte("sesame"))
	big := write(t, "big", make([]byte, 20<<20)) // more than sockets hold
	for name, c := range map[string]refusal{
		"401 without a token":  {flags: []string{"--token-file", token}, status: "401"},
		"401 with a wrong one": {flags: []string{"--token-file", token}, path: "sesam/x", status: "401"},
		"405 for another verb": {curl: "-X DELETE", ffmpeg: "-method PATCH", status: "405"},
		"409 with a publisher": {before: true, status: "409"},
		"411 without length":   {curl: "-X POST", ffmpeg: "-chunked_post 0", status: "411"},
		"401 before the body": {flags: []string{"--token-file", token}, ffmpeg: "-send_expect_100 1", says: "401",
			status: "401"},
		"413 for a long body": {flags: []string{"--max-body", "1000"}, curl: "--data-binary @" + big, status: "413"},
		"413 with 100-continue": {flags: []string{"--max-body", "1000"},
			curl: "-H 'Expect: 100-continue' --data-binary @" + big, status: "413"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.test(t, big)
		})
	}
}

func (c refusal) test(t *testing.T, big string) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := start(t, wiring{stdout: out}, "vw-ingest", append([]string{"--listen", "127.0.0.1:0"}, c.flags...)...)
	url := ingestURL(p)
	var first *process
	if c.before {
		first = camera(t, url)
		p.find(p.stderr, `(?i)msg=.*publisher.*`)
	}
	c.testCurl(t, url, big)
	c.testFFmpeg(t, url)
	if first != nil {
		first.signal(os.Interrupt)
		first.wait()
	}
	p.signal(os.Interrupt)
	p.wait()
	want := int64(0)
	if c.status == "413" {
		want = 1000 // what ffmpeg sends has no length: as much as is allowed comes through
	}
	if s := p.account(); !c.before && (s.In.Bytes != want || s.Out[0].Confirmed != want) {
		t.Errorf("%d bytes were read, want %d: %+v", s.In.Bytes, want, s.Out[0])
	}
	if strings.Contains(p.stderr.String(), "sesame") {
		t.Error("the token is in the log")
	}
}

func (c refusal) testCurl(t *testing.T, url, big string) {
	curlFlags := c.curl
	if !strings.Contains(curlFlags, "@") && c.status != "411" {
		curlFlags += " -T " + big
	}
	curl := start(t, wiring{}, "bash", "-c", fmt.Sprintf("%s -sS -o %s -w '%%{http_code}' %s %s",
		tool(t, "curl"), os.DevNull, curlFlags, url+c.path))
	curl.wait()
	if got := strings.TrimSpace(curl.stdout.String()); got != c.status {
		t.Errorf("curl got %q, want %s; %s", got, c.status, curl.stderr)
	}
}

// testFFmpeg refuses a camera that never ends by itself, but by the refusal.
func (c refusal) testFFmpeg(t *testing.T, url string) {
	args := "-nostdin -v error -re -f lavfi -i testsrc2=size=320x240:rate=25 " +
		"-c:v mpeg1video -b:v 2M -f mpegts " + c.ffmpeg
	f := start(t, wiring{}, "ffmpeg", append(strings.Fields(args), url+c.path)...)
	says := c.says
	if says == "" {
		says = "Broken pipe"
	}
	if f.wait() == 0 || !strings.Contains(f.stderr.String(), says) {
		t.Errorf("ffmpeg does not say %q: %s", says, f.stderr)
	}
}

// TestHealthz: /healthz says whether there is a publisher.
func TestHealthz(t *testing.T) {
	t.Parallel()
	out, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := start(t, wiring{stdout: out}, "vw-ingest", "--listen", "127.0.0.1:0")
	url := ingestURL(p)
	health := func() string {
		c := start(t, wiring{}, "curl", "-sS", "-o", os.DevNull, "-w", "%{http_code}", url+"healthz")
		c.expect(0)
		return c.stdout.String()
	}
	if got := health(); got != "503" {
		t.Errorf("without a publisher: %s", got)
	}
	camera(t, url)
	p.find(p.stderr, `(?i)msg=.*publisher.*`)
	if got := health(); got != "200" {
		t.Errorf("with a publisher: %s", got)
	}
}
