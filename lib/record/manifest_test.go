package record

import (
	"os"
	"path/filepath"
	"testing"
)

// TestOtherFileIsNoManifest: a file that is not a manifest is not touched.
func TestOtherFileIsNoManifest(t *testing.T) {
	line := `{"file":"x.ts"}` + "\n"
	for name, content := range map[string]string{"text": "not yours\nreally", "its end": line + "not yours"} {
		path := filepath.Join(t.TempDir(), "m")
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if (&manifest{path: path}).flush() == nil {
			t.Errorf("%s: it was taken", name)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != content {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	path := filepath.Join(t.TempDir(), "m")
	if err := os.WriteFile(path, []byte(line+line[:9]), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := (&manifest{path: path}).flush(); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != line {
		t.Errorf("%q", b)
	}
}
