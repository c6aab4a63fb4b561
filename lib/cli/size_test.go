package cli

import (
	"strings"
	"testing"
)

func TestParseSize(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want int64
	}{
		{"0", 0}, {"188", 188}, {"188B", 188}, {"188b", 188},
		{"64KiB", 64 << 10}, {"64kib", 64 << 10}, {"64KIB", 64 << 10},
		{"10MB", 10e6}, {"3kB", 3000}, {"3KB", 3000},
		{"16MiB", 16 << 20}, {"1GB", 1e9}, {"1GiB", 1 << 30}, {"2TB", 2e12}, {"2TiB", 2 << 40},
		{"1.5MiB", 3 << 19}, {"0.001kB", 1}, {"1.1KiB", 1126}, {".5KiB", 512},
		{"9223372036854775807", 1<<63 - 1},
	} {
		if got, err := ParseSize(tc.in); err != nil || got != tc.want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", tc.in, got, err, tc.want)
		}
	}
}

func TestParseSizeRefuses(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", "not a size"}, {"MiB", "not a size"}, {".", "not a size"}, {"1.2.3", "not a size"}, {"x", "not a size"},
		{"+1", "not a size"}, {" 1", "not a size"}, {"1e3", `unknown unit "e3"`}, {"0x10", `unknown unit "x10"`},
		{"-1", "negative"}, {"-1MiB", "negative"},
		{"10M", "write MB (powers of 1000) or MiB (powers of 1024)"}, {"2k", "write KB"},
		{"10 MB", `unknown unit " MB"`}, {"1/2", `unknown unit "/2"`},
		{"10PB", "unknown unit"},
		{"1.5", "no fractions"}, {"1.5B", "no fractions"},
		{"9223372036854775808", "too large"}, {"9000000000TiB", "too large"},
		{strings.Repeat("9", 65), "not a size"},
	} {
		if got, err := ParseSize(tc.in); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("ParseSize(%q) = %d, %v; want an error with %q", tc.in, got, err, tc.want)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 1: "1", 188: "188", 1000: "1kB", 1024: "1KiB", 1025: "1025", 64 << 10: "64KiB", 16 << 20: "16MiB",
		10e6: "10MB", 1e12: "1TB", 3 << 19: "1536KiB", -5: "-5",
	} {
		if got := FormatSize(n); got != want {
			t.Errorf("FormatSize(%d) = %q, want %q", n, got, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"188", "64KiB", "10MB", "1.5MiB", "-1", "", "9223372036854775807", ".5kB", "1e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil {
			return
		}
		if n < 0 {
			t.Fatalf("ParseSize(%q) = %d", s, n)
		}
		if again, err := ParseSize(FormatSize(n)); err != nil || again != n {
			t.Fatalf("ParseSize(%q) = %d, written %q, read again %d, %v", s, n, FormatSize(n), again, err)
		}
	})
}
