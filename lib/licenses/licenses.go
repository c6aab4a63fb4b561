// Package licenses holds the licenses of what is built into the tools: Go's library, the modules in go.mod, and the
// players of vw-push's page. scripts/build gathers them.
//
// It is vw's own and may change.
package licenses

import (
	"embed"
	"runtime/debug"
	"strings"
)

//go:embed texts
var texts embed.FS

// Text returns the names, versions and licenses of all that is built in. A program that was built without scripts/build
// has only the names.
func Text() string {
	if b, err := texts.ReadFile("texts/all.txt"); err == nil {
		return string(b)
	}
	var text strings.Builder
	text.WriteString("This program was built without scripts/build, which gathers the texts. " +
		"Inside are Go's library and:\n")
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			text.WriteString("  " + module.Path + " " + module.Version + "\n")
		}
	}
	return text.String()
}
