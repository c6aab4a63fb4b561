package plainname

import (
	"regexp"
	"strings"
	"testing"
)

func TestValidIsTheRegularExpression(t *testing.T) {
	want := regexp.MustCompile(`^[A-Za-z0-9._-]{1,32}$`)
	check := func(s string) {
		if got := Valid(s, 32); got != want.MatchString(s) {
			t.Errorf("%q: %v", s, got)
		}
	}
	for c := range 256 {
		check(string([]byte{byte(c)}))
		check("cam" + string(rune(c)) + "1")
		check(strings.Repeat("x", c))
	}
}
