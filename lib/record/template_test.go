package record

import (
	"strings"
	"testing"
	"time"
)

func TestTemplate(t *testing.T) {
	at := time.Date(2025, 3, 4, 5, 6, 7, 89e6, time.FixedZone("", 3600))
	for _, tc := range []struct {
		text, path, folder string
		nesting            int
	}{
		{"cam.ts", "cam.ts", ".", 0},
		{"rec/cam1-%Y%m%dT%H%M%SZ.ts", "rec/cam1-20250304T040607Z.ts", "rec", 0},
		{"/rec/%Y/%m-%d/%H%M%S.%L.ts", "/rec/2025/03-04/040607.089.ts", "/rec", 2},
		{"%Y/x.ts", "2025/x.ts", ".", 1},
		{"a/b%Y/x", "a/b2025/x", "a", 1},
		{"rec/%D.ts", "rec/03/04/25.ts", "rec", 2},
		{"100%%.ts", "100%.ts", ".", 0},
		{"/%s", "/1741061167", "/", 0},
	} {
		template, err := ParseTemplate(tc.text)
		if err != nil {
			t.Errorf("%s: %v", tc.text, err)
			continue
		}
		if p := template.Path(at); p != tc.path || template.folder != tc.folder || template.nesting != tc.nesting {
			t.Errorf("%s: %s in %s, %d deep", tc.text, p, template.folder, template.nesting)
		}
	}
	for text, want := range map[string]string{
		"":          "empty",
		"rec/":      "names a folder",
		"rec/..":    "names a folder",
		"a%":        "cut off",
		"a%-":       "cut off",
		"a%Kb":      `unknown conversion "%K"`,
		"a%Q%!":     `unknown conversion "%!"`,
		"a%nb":      "control character",
		"a\x00b.ts": "control character",
	} {
		if _, err := ParseTemplate(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{numbered("rec/a.ts", 0), "rec/a.ts"},
		{numbered("rec/a.ts", 7), "rec/a_007.ts"},
		{numbered("rec.d/a", 1000), "rec.d/a_1000"},
		{partialName("rec/a.b.ts"), "rec/a.b.partial.ts"},
		{partialName("a"), "a.partial"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s, want %s", tc.got, tc.want)
		}
	}
}

func TestTempName(t *testing.T) {
	template := mustTemplate(t, "rec/%Y/cam-1-%H.ts")
	for _, n := range []tempName{
		newTempName(template, "rec/2025/cam-1-04.ts", time.Unix(1741061167, 123456789).UTC()),
		{folder: ".", base: "x-y-.partial", id: "0123abcd", start: time.Unix(0, 1).UTC(), raw: true, injected: 376},
	} {
		got, ok := parseTempName(n.String())
		if !ok || got != n {
			t.Errorf("%s: %+v, %v", n, got, ok)
		}
	}
	for _, path := range []string{
		"cam.ts", ".vw-record-.partial", ".vw-record-a-b-c-d.partial", ".vw-record-a-0-0-mp40.partial",
		".vw-record--0-0-ts0.partial",
		".vw-record-a-0-0-ts-1.partial", ".vw-record-a-0-x-ts0.partial", "vw-record-a-0-0-ts0.partial",
		".vw-record-a-0-0-ts0",
	} {
		if n, ok := parseTempName(path); ok {
			t.Errorf("%s: %+v", path, n)
		}
	}
}
