package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ucli "github.com/urfave/cli/v2"
)

// completionScript writes the completion of a test tool for a shell to a file, and returns its path.
func completionScript(t *testing.T, shell, name string) string {
	t.Helper()
	var got []string
	app := testApp("URL", &got, nil)
	app.Metadata = About{Values: map[string][]string{"fault": {"conn=", "do=close", "do=reset"}}}.Metadata()
	app.Flags = append(app.Flags, &ucli.StringFlag{Name: "fault", Usage: "make `SPEC` go wrong"},
		&ucli.StringFlag{Name: "ca", Usage: "it's [in] `FILE`: really"})
	var stdout, stderr bytes.Buffer
	if status := Run(app, []string{"vw-test", "--completion", shell}, &stdout, &stderr); status != 0 ||
		stderr.Len() > 0 {
		t.Fatalf("status %d, stderr %q", status, stderr.String())
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, stdout.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// complete runs a shell, which prints what it offers, one a line.
func complete(t *testing.T, shell string, args ...string) []string {
	t.Helper()
	if _, err := exec.LookPath(shell); err != nil {
		t.Skipf("SKIPPED: %s is not installed", shell)
	}
	cmd := exec.Command(shell, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "TERM=dumb")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", shell, err, out)
	}
	return strings.Fields(string(out))
}

func TestCompletionBash(t *testing.T) {
	t.Parallel()
	script := completionScript(t, "bash", "vw-test")
	for words, want := range map[string][]string{
		"vw-test --lo":         {"--log"},
		"vw-test --log ''":     {"text", "json"},
		"vw-test --log = j":    {"json"},
		"vw-test --fault do=r": {"do=reset"},
		// As bash cuts words where it is used.
		"vw-test --fault do = r":            {"reset"},
		"vw-test --fault = conn = 1,do = r": {"reset"},
		"vw-test --fault conn = 1,":         {"1,conn=", "1,do=close", "1,do=reset"},
		"vw-test --once --log te":           {"text"},
	} {
		got := complete(t, "bash", "--norc", "-c",
			`. "$1"; eval "COMP_WORDS=($2)"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _vw_test
			printf '%s\n' "${COMPREPLY[@]}"`,
			"bash", script, words)
		if !slices.Equal(got, want) {
			t.Errorf("%q is completed by %q, want %q", words, got, want)
		}
	}
}

func TestCompletionFish(t *testing.T) {
	t.Parallel()
	script := completionScript(t, "fish", "vw-test.fish")
	for line, want := range map[string]string{"vw-test --lo": "--log", "vw-test --log j": "json",
		"vw-test --fault do=r": "do=reset"} {
		got := complete(t, "fish", "--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, script, line)
		if len(got) == 0 || got[0] != want {
			t.Errorf("%q is completed by %q, want %s first", line, got, want)
		}
	}
}

// zsh completes on a terminal only: zpty is one, and the lines that it shows name what was offered.
const zshSession = `
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; PS1="
zpty -w z "setopt nolistbeep; zstyle ':completion:*' format ''; print ready-to-go"
zpty -r z line '*ready-to-go*ready-to-go*'
zpty -w -n z "vw-test $2"$'\t'
zpty -r -m z line "*$3*" && print -r -- found
zpty -d z
`

func TestCompletionZsh(t *testing.T) {
	t.Parallel()
	folder := filepath.Dir(completionScript(t, "zsh", "_vw-test"))
	for typed, want := range map[string]string{"--lo": "--log", "--log j": "--log json", "--fault do=r": "do=reset",
		"--fault conn=1,do=r": "conn=1,do=reset"} {
		got := complete(t, "zsh", "-f", "-c", zshSession, "zsh", folder, typed, want)
		if !slices.Contains(got, "found") {
			t.Errorf("%q is not completed to %q: %q", typed, want, got)
		}
	}
}

func TestCompletionUnknownShell(t *testing.T) {
	var got []string
	var stdout, stderr bytes.Buffer
	status := Run(testApp("URL", &got, nil), []string{"vw-test", "--completion=csh"}, &stdout, &stderr)
	if status != ExitUsage || stdout.Len() > 0 ||
		!strings.Contains(stderr.String(), `unknown shell "csh" (bash, zsh, fish)`) {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout.String(), stderr.String())
	}
}
