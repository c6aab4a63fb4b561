package cli

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	ucli "github.com/urfave/cli/v2"
)

// daysAndWeeks is compiled when it is needed: that takes a part of a millisecond.
var daysAndWeeks = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(\d+(?:\.\d+)?)([dw])`) })

// ParseDuration reads a duration as time.ParseDuration does, and also with days of 24 hours (7d) and weeks (2w).
func ParseDuration(s string) (time.Duration, error) {
	inHours := func(part string) string {
		hours, number := 24.0, part[:len(part)-1]
		if part[len(part)-1] == 'w' {
			hours *= 7
		}
		n, _ := strconv.ParseFloat(number, 64)
		return strconv.FormatFloat(n*hours, 'f', -1, 64) + "h"
	}
	if strings.ContainsAny(s, "dw") {
		s = daysAndWeeks().ReplaceAllStringFunc(s, inHours)
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New("not a duration (300ms, 10s, 1h30m, 7d, 2w)")
	}
	return d, nil
}

// durationValue is a duration of 0 or more as the value of a flag.
type durationValue time.Duration

func (v *durationValue) Set(s string) error {
	d, err := ParseDuration(s)
	if err != nil {
		return err
	}
	if d < 0 {
		return errors.New("must not be negative")
	}
	*v = durationValue(d)
	return nil
}

func (v *durationValue) String() string { return time.Duration(*v).String() }

// DurationFlag is a flag that takes a duration of 0 or more.
func DurationFlag(name string, value time.Duration, usage string) *ucli.GenericFlag {
	v := durationValue(value)
	return &ucli.GenericFlag{Name: name, Value: &v, Usage: usage}
}

// Duration is the value of a DurationFlag. It panics when there is no such flag, which is a mistake in the tool.
func Duration(c *ucli.Context, name string) time.Duration {
	return time.Duration(*c.Generic(name).(*durationValue))
}
