package cli

import (
	"io"
	"log/slog"
)

// NewLogger logs to w in the form "text" or "json", with UTC times and the name of the tool in each line: several tools
// of one pipeline share a terminal. Quiet leaves errors.
func NewLogger(w io.Writer, tool, form string, quiet bool) *slog.Logger {
	options := &slog.HandlerOptions{
		Level: slog.LevelInfo,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
				a.Value = slog.TimeValue(a.Value.Time().UTC())
			}
			return a
		},
	}
	if quiet {
		options.Level = slog.LevelError
	}
	var h slog.Handler = slog.NewTextHandler(w, options)
	if form == "json" {
		h = slog.NewJSONHandler(w, options)
	}
	return slog.New(h).With("tool", tool)
}
