package cli

import (
	"runtime/debug"
	"strings"
)

// version is set by the release build: -ldflags "-X github.com/timdrysdale/vw/lib/cli.version=v1.2.3".
var version string

// date is set by the release build, as version is: the day of the commit, 2026-01-31.
var date string

// Date is the day of the commit that the running tool was built from, or "" if that is not known.
func Date() string {
	if date != "" {
		return date
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			day, _, _ := strings.Cut(s.Value, "T")
			return day
		}
	}
	return ""
}

// Version is the version of the running tool: that of the release build, or what the Go tool recorded of the module or
// of the commit it was built from, or "devel".
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	return versionOf(info)
}

func versionOf(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	var revision, modified string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				modified = "+dirty"
			}
		}
	}
	if revision == "" {
		return "devel"
	}
	return "devel-" + revision[:min(len(revision), 12)] + modified
}
