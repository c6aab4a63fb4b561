package record

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestTemplateRefusesImpossibleNames: a name that no time has is not the template's, however much it looks like it.
func TestTemplateRefusesImpossibleNames(t *testing.T) {
	for template, names := range map[string][]string{
		"cam-%Y%m%dT%H%M%SZ.ts": {"cam-20260230T000000Z.ts", "cam-20261399T000000Z.ts", "cam-20260101T240000Z.ts",
			"cam-20260101T006000Z.ts", "cam-20260101T000060Z.ts", "cam-20250229T000000Z.ts", "cam-20260001T000000Z.ts",
			"cam-20260101T000000Z_0001.ts", "cam-20260101T000000Z_000.ts", "cam-20260101T000000Z_01.ts",
			"cam-20260101T000000Z_-01.ts", "cam-20260101T000000Z.partial.partial.ts", "cam-2026 101T000000Z.ts",
			"cam-20260101T000000Z_001_001.ts", "cam-20260101T000000Z_001.partial.ts", "cam-+2260101T000000Z.ts"},
		"%H.ts":       {"99.ts", "24.ts", "1.ts", "001.ts", "-1.ts"},
		"%-d.ts":      {"01.ts", "32.ts", "0.ts"},
		"%s.ts":       {"007.ts", "1e3.ts", "9999999999999999999.ts"},
		"%j.ts":       {"000.ts", "367.ts"},
		"%Y-%j.ts":    {"2023-366.ts"},
		"%F %a.ts":    {"2026-01-01 Mon.ts"},
		"%m-%d.ts":    {"02-30.ts", "04-31.ts"},
		"%I%p.ts":     {"13PM.ts", "00AM.ts"},
		"%G-W%V.ts":   {"2025-W53.ts", "2025-W00.ts"},
		"%Y/%m/%d.ts": {"2026/13/01.ts", "2026/1/01.ts"},
		"%e.ts":       {"01.ts"},
		"cam_%S.ts":   {"cam_60.ts", "cam_00_1.ts"},
	} {
		for _, name := range names {
			if mustTemplate(t, template).matches(name) {
				t.Errorf("%s takes %s for its own", template, name)
			}
		}
	}
	for template, name := range map[string]string{
		"%m-%d.ts": "02-29.ts", "%j.ts": "366.ts", "%A.ts": "Tuesday.ts", "%d.ts": "31.ts", "%-d%-m.ts": "111.ts",
		"%y.ts": "99.ts", "%C.ts": "19.ts", "%G-W%V.ts": "2020-W53.ts",
		"%C%g-W%V %u.ts": "2199-W53 5.ts", "%U.ts": "53.ts", "%d %a.ts": "31 Wed.ts",
		"%Q.ts": "1700000000123.ts", "%s.%N.ts": "1700000000.000000001.ts", "x%I%M%p.ts": "x1200AM.ts", "%s": "-5",
		"%Y%m%d%H%M%S%L.ts": "20260102030405006.ts",
	} {
		if !mustTemplate(t, template).matches(name) {
			t.Errorf("%s does not know %s", template, name)
		}
	}
}

// TestTemplateKnowsWhatItMakes: for random times and all conversions.
func TestTemplateKnowsWhatItMakes(t *testing.T) {
	for _, text := range []string{"%Y%m%dT%H%M%S.%L.ts", "%c", "%+.ts", "%v %r.ts", "%D/%T.ts", "%x %X.ts",
		"%R %j %y.ts",
		"%e%k%l%M %p%P%f", "%h%b%B%a%A", "%-d%-m%-y%-H%-I%-M%-S%-j", "%s%f", "%Q", "%C%g %V %u", "%U %W %w %z%:z%Z",
		"%G%g%V%%", "%EY%Om%Od", "%Y/%U/%w/%H", "%:d%:m"} {
		template := mustTemplate(t, text)
		for range 200 {
			at := time.Unix(rand.Int64N(1<<32), rand.Int64N(1e9)).UTC()
			if name := template.Path(at); !template.matches(template.relative(name)) {
				t.Errorf("%s does not know %s", text, name)
			}
		}
	}
}

func FuzzTemplateMatches(f *testing.F) {
	f.Add("cam-%Y%m%dT%H%M%SZ.ts", "cam-20260230T000000Z.ts")
	f.Add("%-d%-m%A", "111Monday")
	f.Add("%U%W%V", "535353")
	f.Fuzz(func(t *testing.T, text, name string) {
		if len(text) > 40 || len(name) > 80 {
			return
		}
		if template, err := ParseTemplate(text); err == nil {
			template.matches(name)
		}
	})
}

func BenchmarkTemplateMatches(b *testing.B) {
	template := mustTemplate(b, "cam-%Y%m%dT%H%M%SZ.ts")
	b.ReportAllocs()
	for b.Loop() {
		if !template.matches("cam-20260131T120000Z_001.ts") {
			b.Fatal("not known")
		}
	}
}
