package cli

import (
	"errors"
	"time"

	ucli "github.com/urfave/cli/v2"
)

// durationValue is a duration of 0 or more as the value of a flag.
type durationValue time.Duration

func (v *durationValue) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		return errors.New("not a duration (300ms, 10s, 1h30m)")
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
