package access

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func hashOf(token string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(token))) }

func TestParseTokens(t *testing.T) {
	long := strings.Repeat("n", 32)
	for _, c := range []struct {
		text     string
		shown    string // matches
		name     string // of the token that matches
		warnings int
	}{
		{text: "secret", shown: "secret"},
		{text: "secret\n", shown: "secret"},
		{text: "secret \t\r\n", shown: "secret"},
		{text: "secret", shown: "secret \n"},
		{text: "# comment\n\n  \r\nsecret", shown: "secret"},
		{text: "\uFEFFsecret", shown: "secret"},
		{text: "cam1:secret", shown: "secret", name: "cam1"},
		{text: "cam1: secret", shown: "secret", name: "cam1"},
		{text: "cam1:a:b", shown: "a:b", name: "cam1"},
		{text: "a.b_C-9:secret", shown: "secret", name: "a.b_C-9"},
		{text: long + ":secret", shown: "secret", name: long},
		{text: hashOf("secret"), shown: "secret"},
		// a token of 64 digits
		{text: strings.ToUpper(hashOf("secret")[7:]), shown: strings.ToUpper(hashOf("secret")[7:])},
		{text: "cam1:" + hashOf("secret"), shown: "secret", name: "cam1"},
		{text: "cam1:one\ncam2:two", shown: "two", name: "cam2"},
		{text: "one\ntwo", shown: "one"},
		{text: "a/b", shown: "a/b"},
		{text: "grün", shown: "grün"},
		{text: "x", shown: "x", warnings: 1},
		{text: "cam1:ü", shown: "ü", name: "cam1", warnings: 1},
	} {
		set, err := ParseTokens([]byte(c.text))
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		token, ok := set.Match(c.shown)
		if !ok || token.Name() != c.name || !set.Has(token) || len(set.Warnings) != c.warnings {
			t.Errorf("%q: %q matches: %v, name %q, warnings %q", c.text, c.shown, ok, token.Name(), set.Warnings)
		}
		for _, wrong := range []string{"", " ", c.shown + "x", " " + c.shown, c.text + "x", hashOf(c.shown)} {
			if _, ok := set.Match(wrong); ok {
				t.Errorf("%q: %q matches", c.text, wrong)
			}
		}
	}
}

func TestParseTokensRefuses(t *testing.T) {
	for _, c := range []struct {
		text string
		line int
		says string // error and hint
	}{
		{"", 0, "empty"},
		{"# secret\n\n", 0, "empty"},
		{"ok\nse:cr et", 2, "white space"},
		{"not a name:secret", 1, "':'.*without a name.*cam1:TOKEN"},
		{strings.Repeat("n", 33) + ":secret", 1, "without a name"},
		{":secret", 1, "without a name"},
		{"cam1:", 1, "without a token"},
		{"se cret", 1, "white space"},
		{"sec\x00ret", 1, "control"},
		{"sec\xffret", 1, "UTF-8"},
		{"sha256:secret", 1, "64 hexadecimal digits.*sha256sum"},
		{"cam1:sha256:", 1, "64 hexadecimal digits"},
		{hashOf("x") + "00", 1, "64 hexadecimal digits"},
		{"one\n\none", 3, "line 1 again"},
		{"a:one\nb:" + hashOf("one"), 2, "token of line 1"},
		{"a:one\na:two", 2, "name of line 1"},
	} {
		set, err := ParseTokens([]byte(c.text))
		var bad *LineError
		if !errors.As(err, &bad) || set != nil {
			t.Errorf("%q: %v, %v", c.text, set, err)
			continue
		}
		if bad.Line != c.line || !regexp.MustCompile(c.says).MatchString(bad.Text+" "+bad.Hint) {
			t.Errorf("%q: line %d: %s, hint %s", c.text, bad.Line, bad.Text, bad.Hint)
		}
		if strings.Contains(bad.Text+bad.Hint, "secret") {
			t.Errorf("%q: the error shows the token: %v", c.text, err)
		}
	}
}

func FuzzParseTokens(f *testing.F) {
	for _, s := range []string{"secret", "cam1:secret\n#\n" + hashOf("x"), "a:b:c", "sha256:", ":", "\uFEFF",
		"a\r\nb\xff", "ab:\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := ParseTokens([]byte(text))
		if err != nil {
			return
		}
		// What stands in the file opens the door, under its name, and nothing else does.
		for line := range strings.Lines(strings.TrimPrefix(text, "\uFEFF")) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' || strings.Contains(line, "sha256:") {
				continue
			}
			name, secret, named := strings.Cut(line, ":")
			if !named {
				name, secret = "", line
			}
			token, ok := set.Match(strings.TrimSpace(secret))
			if !ok || token.Name() != name || !utf8.ValidString(secret) {
				t.Errorf("%q: line %q: matches %v, name %q", text, line, ok, token.Name())
			}
		}
		if _, ok := set.Match(""); ok {
			t.Errorf("%q: the empty token matches", text)
		}
	})
}
