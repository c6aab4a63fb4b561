package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadSecret(t *testing.T) {
	const variable = "VW_CLI_TEST_SECRET"
	file := filepath.Join(t.TempDir(), "token")
	for name, tc := range map[string]struct {
		file, env   *string
		want, error string
	}{
		"file":              {file: ptr("s3cret\n"), want: "s3cret"},
		"no newline":        {file: ptr("s3cret"), want: "s3cret"},
		"windows":           {file: ptr("s3cret\r\n"), want: "s3cret"},
		"spaces are part":   {file: ptr(" s3 cret \n"), want: " s3 cret "},
		"environment":       {env: ptr("s3cret"), want: "s3cret"},
		"file first":        {file: ptr("a"), env: ptr("b"), want: "a"},
		"neither":           {want: ""},
		"empty file":        {file: ptr(""), error: "read secret: " + file + " is empty"},
		"newline only":      {file: ptr("\n"), error: file + " is empty"},
		"empty environment": {env: ptr(""), error: "$" + variable + " is empty"},
		"two lines":         {file: ptr("s3cret\nmore\n"), error: file + " holds more than one line"},
		"header injection":  {env: ptr("s3cret\r\nX: y"), error: "$" + variable + " holds more than one line"},
		"endless": {file: ptr(strings.Repeat("s3cret", maxSecret/6+1)),
			error: file + " is longer than 64KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			path := ""
			if tc.file != nil {
				path = file
				if err := os.WriteFile(file, []byte(*tc.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if tc.env != nil {
				t.Setenv(variable, *tc.env)
			}
			got, err := ReadSecret(path, variable)
			switch {
			case tc.error == "" && (err != nil || got != tc.want):
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			case tc.error != "" && (err == nil || !strings.Contains(err.Error(), tc.error) ||
				strings.Contains(err.Error(), "s3cret")):
				t.Errorf("got %q, %v; want an error with %q and no secret", got, err, tc.error)
			}
		})
	}
}

func TestReadSecretNamesTheMissingFile(t *testing.T) {
	if _, err := ReadSecret("/nowhere/token", ""); err == nil || !strings.Contains(err.Error(), "/nowhere/token") {
		t.Errorf("got %v", err)
	}
}

func ptr(s string) *string { return &s }
