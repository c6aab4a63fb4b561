package test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// replaced is all that differs between a recipe on a page and what this machine runs: hosts, devices, durations, ports,
// and the programs that people have of their own. Patterns are tried in this order.
var replaced = []struct{ pattern, with string }{
	// Devices and what stands for them. The pictures come as fast as those of a camera, until the test ends them.
	{`ffmpeg … -f mpegts -`, "ffmpeg " + testPicture + " -c:v mpeg1video -bf 0 -g 25 -f mpegts -muxdelay 0.001 -"},
	{`ffmpeg … -f mpegts`, "ffmpeg " + testPicture + " -c:v mpeg1video -bf 0 -g 25 -f mpegts -muxdelay 0.001"},
	{`-f v4l2 -input_format h264 -i /dev/video0`, "-re -f h264 -i CAMERA.h264"},
	{`-f v4l2 (?:-\w+ \w+ )*-i /dev/video0`, testPicture},
	{`-f alsa -i default`, "-re -f lavfi -i sine"},
	{`user:password@camera\.example\.org`, "CAMERA"},
	{`my-publisher "(.*)"`, `vw-push --quiet "$1" <CAMERA.ts`},
	// Hosts. What is on this machine is reached without the proxy and without TLS.
	{`wss://(?:relay|cameras)\.example\.org`, "SERVER"},
	{`https://relay\.example\.org/access`, "ACCESS"},
	{`relay\.example\.org:8081`, "127.0.0.1:INGEST"},
	{`https://relay\.example\.org/in/TOKEN`, "CADDY/in/$(cat publishers)"},
	{`192\.0\.2\.0/24`, "127.0.0.2/32"},
	// Durations and folders.
	{`--rotate-time 10m`, "--rotate-time 1s"},
	{`sleep 20`, "sleep 1"},
	{`/var/lib/prometheus/node-exporter/`, ""},
	// Ports: those that are free.
	{`--listen (127\.0\.0\.1)?:\d+`, "--listen $1:0"},
	{`127\.0\.0\.1:8888`, "127.0.0.1:POSTS"},
	{`(websocket-relay\.js \w+) 8081 8082`, "$1 INGEST VIEWERS"},
	{`vw-ingest \|`, "vw-ingest --listen 127.0.0.1:0 |"},
}

const testPicture = "-re -f lavfi -i testsrc2=size=320x240:rate=25"

// recipes has a step for each command of each page, in order.
var recipes = map[string][]step{
	"README.md": {
		skip("it builds for a minute, which TestPackage does"),
		onPage, inFiles, atServer, asRelay, throughCaddy, passes,
	},
	"docs/ingest.md":    {asRelay, toRelay},
	"docs/metrics.md":   {metrics},
	"docs/promises.md":  {accounts},
	"docs/recording.md": {relayPushes},
	"docs/service.md": {
		skip(needsSystemd), skip(needsSystemd), skip(needsSystemd),
	},
	"docs/testserver.md":             {passes},
	"docs/tools.md":                  {skip("TestHelpForNewcomers asks for each")},
	"docs/uplink.md":                 {atServer},
	"docs/viewers.md":                {onPage, relayPushes},
	"docs/recipes/behind-a-proxy.md": {skip("TestDoorBehindProxies runs it behind each web server")},
	"docs/recipes/cdn.md":            {atServer, asRelay},
	"docs/recipes/check.md":          {skip("TestRecipeCheck runs it"), skip("TestRecipeCheck runs it")},
	"docs/recipes/container.md": {
		skip(needsContainers), skip(needsContainers),
	},
	"docs/recipes/from-jsmpeg.md":    {asRelay, toJSMpeg},
	"docs/recipes/jsmpeg-page.md":    {onPage, skip("TestStockPage serves the page to Chromium")},
	"docs/recipes/object-storage.md": {skip("TestRecipeObjectStorage runs it"), lists},
	"docs/recipes/obs.md":            {asRelay, toRelay},
	"docs/recipes/practable.md":      {practable, posted},
	"docs/recipes/raspberry-pi.md": {
		onPage, onPage,
	},
	"docs/recipes/rtsp-camera.md": {onPage, onPage},
	"docs/recipes/usb-camera.md": {
		onPage, onPage, onPage, onPage, skip("there is no camera at /dev/video0"),
	},
}

const (
	needsSystemd    = "it needs systemd: TestPackage boots a machine and runs it there"
	needsContainers = "containers need more rights than a test has; TestContainer builds the image where buildah can"
)

// step runs one command of a page.
type step struct {
	run func(r *recipeRun, command string)
	why string // it is not run
}

func skip(why string) step { return step{why: why} }

// TestRecipes runs the commands of README.md, of the first screen of each page of docs/ and of all docs/recipes/ as
// they stand there, but for what is replaced.
func TestRecipes(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/recipes/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	others, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(append(pages, others...), "../README.md") {
		page := strings.TrimPrefix(filepath.ToSlash(file), "../")
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			text := string(read(t, file))
			if strings.HasPrefix(page, "docs/") && !strings.HasPrefix(page, "docs/recipes/") {
				text = firstScreen(text)
			}
			all, steps := commands(text), recipes[page]
			if len(all) != len(steps) {
				t.Fatalf("%d commands, and %d steps in the list of this test: %q", len(all), len(steps), all)
			}
			r := newRecipeRun(t)
			for i, command := range all {
				if steps[i].run == nil {
					t.Logf("SKIPPED: %s: %s", steps[i].why, firstLine(command))
					continue
				}
				steps[i].run(r, command)
			}
			r.stop()
		})
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// firstScreen is what stands before the first heading below the title.
func firstScreen(text string) string {
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// commands are a page's commands: scripts between ```sh and ```, and what is indented, where an empty line ends one.
func commands(text string) (all []string) {
	fence := ""
	indented := false
	for line := range strings.Lines(text + "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			if fence != "" {
				fence = ""
			} else if fence = strings.TrimSpace(line); fence == "```sh" {
				all = append(all, "")
			}
			indented = false
		case fence == "```sh", fence == "" && indented && strings.HasPrefix(line, "    "):
			all[len(all)-1] += strings.TrimPrefix(line, "    ")
		case fence == "" && strings.HasPrefix(line, "    "):
			all = append(all, strings.TrimPrefix(line, "    "))
			indented = true
		default:
			indented = false
		}
	}
	return all
}

// replace makes what runs here of a command on a page.
func replace(command string) string {
	for _, r := range replaced {
		command = regexp.MustCompile(r.pattern).ReplaceAllString(command, r.with)
	}
	return command
}

// reference are the pages that are looked things up in. All others are about a task.
var reference = []string{"architecture.md", "glossary.md", "scale.md", "streams.md"}

// TestPagesBeginWithACommand: whoever opens a page with a task in mind sees first what to type.
func TestPagesBeginWithACommand(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	recipes, err := filepath.Glob("../docs/recipes/*.md")
	if err != nil || len(recipes) == 0 {
		t.Fatal(recipes, err)
	}
	for _, file := range append(pages, recipes...) {
		_, text, _ := strings.Cut(string(read(t, file)), "\n\n")
		if !slices.Contains(reference, filepath.Base(file)) && !strings.HasPrefix(text, "    ") &&
			!strings.HasPrefix(text, "```sh\n") {
			t.Errorf("%s begins with %q, not with a command", file, firstLine(text))
		}
	}
}

// TestRecipesAreLinked: a page that no other page links to is not found.
func TestRecipesAreLinked(t *testing.T) {
	t.Parallel()
	readme := string(read(t, "../README.md"))
	entries, err := os.ReadDir("../docs/recipes")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.Contains(readme, "(docs/recipes/"+e.Name()+")") {
			t.Errorf("README.md has no link to %s", e.Name())
		}
	}
}
