package test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestHelpForNewcomers: each tool's help begins with the five flags that most people need and has three examples of
// flags that exist; its manual page is ASCII, and its completion knows the values.
func TestHelpForNewcomers(t *testing.T) {
	t.Parallel()
	flags := regexp.MustCompile(`--[a-z][a-z-]+`)
	ask := func(name, flag string, value ...string) string {
		p := start(t, wiring{}, tool(t, name), append([]string{flag}, value...)...)
		p.expect(0)
		return p.stdout.String()
	}
	tools := []string{"vw-ingest", "vw-push", "vw-record", "vw-testserver", "vw-nats"}
	known := map[string][]string{}
	for _, name := range tools {
		known[name] = flags.FindAllString(ask(name, "--help"), -1)
	}
	for _, name := range tools {
		help := ask(name, "--help")
		_, first, _ := strings.Cut(help, "\nWhat most people need:\n")
		first, rest, _ := strings.Cut(first, "\n\nExamples:\n")
		if n := len(regexp.MustCompile(`(?m)^  --`).FindAllString(first, -1)); n != 5 {
			t.Errorf("%s: %d flags come first:\n%s", name, n, help)
		}
		if n := strings.Count(rest, "\n  # ") + 1; n != 3 {
			t.Errorf("%s: %d examples:\n%s", name, n, help)
		}
		examples, _, _ := strings.Cut(rest, "\n\n")
		called := ""
		for word := range strings.FieldsSeq(rest[:len(examples)]) {
			if slices.Contains(tools, word) {
				called = word
			} else if flags.MatchString(word) && called != "" && !slices.Contains(known[called], word) {
				t.Errorf("%s: an example has %s, which %s has not", name, word, called)
			}
		}
		page := ask(name, "--man")
		for _, chapter := range []string{"EXAMPLES", "ENVIRONMENT", "OPTIONS"} {
			if !strings.Contains(page, ".SH "+chapter+"\n") {
				t.Errorf("%s: the manual page has no %s", name, chapter)
			}
		}
		if i := strings.IndexFunc(page, func(r rune) bool { return r > '~' }); i >= 0 {
			t.Errorf("%s: the manual page is not ASCII: %q", name, page[i:min(len(page), i+20)])
		}
	}
	if s := ask("vw-testserver", "--completion", "bash"); !strings.Contains(s, " do=reset ") {
		t.Errorf("the completion of vw-testserver does not know do=reset:\n%s", s)
	}
}
