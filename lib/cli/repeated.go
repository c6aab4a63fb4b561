package cli

import (
	"strings"

	ucli "github.com/urfave/cli/v2"
)

// repeatedValue is a flag that may be given several times. Unlike urfave/cli's, it takes a value as it is, with its
// commas.
type repeatedValue []string

func (v *repeatedValue) Set(s string) error {
	*v = append(*v, s)
	return nil
}

func (v *repeatedValue) String() string { return strings.Join(*v, ", ") }

// RepeatedFlag is a flag that may be given several times.
func RepeatedFlag(name, usage string) *ucli.GenericFlag {
	return &ucli.GenericFlag{Name: name, Value: new(repeatedValue), Usage: usage}
}

// Repeated returns the values of a RepeatedFlag, in order.
func Repeated(c *ucli.Context, name string) []string {
	return *c.Generic(name).(*repeatedValue)
}
