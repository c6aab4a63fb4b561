// Package childenv keeps what is a tool's own out of the environment of the programs that it starts: the sockets and
// notifications that systemd has given to it, and its tokens.
//
// It is vw's own and may change.
package childenv

import (
	"slices"
	"strings"
)

// Filter returns the variables of env ("NAME=value") that a program may have.
func Filter(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		isToken := strings.HasPrefix(name, "VW_") && strings.HasSuffix(name, "_TOKEN")
		return name == "NOTIFY_SOCKET" || strings.HasPrefix(name, "LISTEN_") || strings.HasPrefix(name, "WATCHDOG_") ||
			isToken
	})
}
