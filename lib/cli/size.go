package cli

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	ucli "github.com/urfave/cli/v2"
)

// sizeUnits from large to small. Bare letters (10M) are no units: they mean 1000 to some tools and 1024 to others.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"TB", 1e12},
	{"GiB", 1 << 30}, {"GB", 1e9},
	{"MiB", 1 << 20}, {"MB", 1e6},
	{"KiB", 1 << 10}, {"kB", 1e3},
	{"B", 1},
}

// ParseSize reads a size: a number, and after it B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of
// 1024) in upper or lower case, or nothing for bytes. A number with a unit above the byte may have a fraction (1.5MiB);
// what is less than a byte is cut off. Sizes are 0 or more and fit an int64.
func ParseSize(s string) (int64, error) {
	n, err := parseSize(s)
	if err != nil {
		return 0, fmt.Errorf("size %q: %w", s, err)
	}
	return n, nil
}

var errNoSize = errors.New("not a size (188, 64KiB, 10MB)")

func parseSize(s string) (int64, error) {
	end := 0
	for end < len(s) && (s[end] == '.' || '0' <= s[end] && s[end] <= '9') {
		end++
	}
	number, unit := s[:end], s[end:]
	if strings.HasPrefix(s, "-") {
		return 0, errors.New("must not be negative")
	}
	if len(number) > 64 {
		return 0, errNoSize
	}
	value, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, errNoSize
	}
	factor, err := unitBytes(unit)
	if err != nil {
		return 0, err
	}
	if factor == 1 && strings.Contains(number, ".") {
		return 0, errors.New("a byte has no fractions")
	}
	value.Mul(value, new(big.Rat).SetInt64(factor))
	bytes := new(big.Int).Quo(value.Num(), value.Denom())
	if !bytes.IsInt64() {
		return 0, errors.New("too large")
	}
	return bytes.Int64(), nil
}

func unitBytes(unit string) (int64, error) {
	if unit == "" {
		return 1, nil
	}
	for _, u := range sizeUnits {
		if strings.EqualFold(unit, u.name) {
			return u.bytes, nil
		}
	}
	if len(unit) == 1 && strings.ContainsAny(unit, "kKmMgGtT") {
		return 0, fmt.Errorf("%[1]q means two things: write %[2]sB (powers of 1000) or %[2]siB (powers of 1024)", unit,
			strings.ToUpper(unit))
	}
	return 0, fmt.Errorf("unknown unit %q (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)", unit)
}

// FormatSize writes n in the shortest form that ParseSize reads as exactly n.
func FormatSize(n int64) string {
	shortest := strconv.FormatInt(n, 10)
	if n <= 0 {
		return shortest
	}
	for _, u := range sizeUnits {
		if u.bytes == 1 || n%u.bytes != 0 {
			continue
		}
		if s := strconv.FormatInt(n/u.bytes, 10) + u.name; len(s) <= len(shortest) {
			shortest = s
		}
	}
	return shortest
}

// sizeValue is a size as the value of a flag.
type sizeValue int64

func (v *sizeValue) Set(s string) error {
	n, err := parseSize(s)
	if err != nil {
		return err
	}
	*v = sizeValue(n)
	return nil
}

func (v *sizeValue) String() string { return FormatSize(int64(*v)) }

// SizeFlag is a flag that takes a size.
func SizeFlag(name string, value int64, usage string) *ucli.GenericFlag {
	v := sizeValue(value)
	return &ucli.GenericFlag{Name: name, Value: &v, Usage: usage}
}

// Size is the value of a SizeFlag, in bytes. It panics when there is no such flag, which is a mistake in the tool.
func Size(c *ucli.Context, name string) int64 {
	return int64(*c.Generic(name).(*sizeValue))
}
