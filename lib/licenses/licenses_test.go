package licenses

import (
	"os/exec"
	"strings"
	"testing"
)

// TestText: the license of each module that is built in is there.
func TestText(t *testing.T) {
	if _, err := texts.ReadFile("texts/all.txt"); err != nil {
		t.Skip("SKIPPED: no texts (scripts/build gathers them)")
	}
	const form = "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}"
	out, err := exec.Command("go", "list", "-deps", "-tags", "urfave_cli_no_docs", "-f", form, "../../cmd/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	text := Text()
	for _, module := range strings.Fields(strings.ReplaceAll(string(out), " ", "@")) {
		if !strings.Contains(text, "\n== "+strings.ReplaceAll(module, "@", " ")+" ==\n") {
			t.Errorf("%s is not there: run scripts/build", module)
		}
	}
	for _, player := range []string{"@cycjimmy/jsmpeg-player", "mpegts.js"} {
		if !strings.Contains(text, "\n== "+player+" ") {
			t.Errorf("%s is not there", player)
		}
	}
}
