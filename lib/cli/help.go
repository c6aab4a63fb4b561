package cli

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	ucli "github.com/urfave/cli/v2"
)

const (
	helpWidth  = 80
	helpColumn = 26 // where the descriptions of flags begin
)

// helpText is the help of a tool: what it is, how it is called, examples, its flags in groups, and its exit statuses.
func helpText(app *ucli.App, more []int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s - %s\n\nUsage:\n", app.Name, app.Usage)
	for line := range strings.Lines(synopsis(app)) {
		b.WriteString("  " + strings.TrimSpace(line) + "\n")
	}
	all := groups(app)
	if all[0].title == firstCategory {
		writeGroup(&b, all[0])
		all = all[1:]
	}
	if examples := aboutOf(app).Examples; len(examples) > 0 {
		b.WriteString("\nExamples:\n")
		for _, e := range examples {
			b.WriteString("  # " + e[0] + "\n")
			for line := range strings.Lines(e[1] + "\n") {
				b.WriteString("  " + line)
			}
		}
	}
	if app.Description != "" {
		for paragraph := range strings.SplitSeq(strings.TrimSpace(app.Description), "\n\n") {
			b.WriteString("\n" + strings.Join(wrap(paragraph, helpWidth), "\n") + "\n")
		}
	}
	for _, g := range all {
		writeGroup(&b, g)
	}
	b.WriteString("\n" + valueForms + "\n\nExit status:\n")
	for _, status := range exitStatuses(more) {
		fmt.Fprintf(&b, "  %d  %s\n", status.code, status.meaning)
	}
	return b.String()
}

func writeGroup(b *strings.Builder, g group) {
	b.WriteString("\n" + g.title + ":\n")
	for _, f := range g.flags {
		helpRow(b, flagSynopsis(f), flagUsage(f))
	}
}

// valueForms says how the values of flags are written.
const valueForms = "Sizes are 188, 64KiB or 10MB; durations are 300ms, 10s, 1h30m or 7d."

// synopsis is how a tool is called: a line for each way.
func synopsis(app *ucli.App) string {
	if app.UsageText != "" {
		return app.UsageText
	}
	return strings.TrimSpace(app.Name + " [flags] " + app.ArgsUsage)
}

// exitStatus is a status with its meaning.
type exitStatus struct {
	code    int
	meaning string
}

// exitStatuses are those of a tool: the ones that all tools have, and more. A tool with expectations drops nothing, and
// its status 0 means something else.
func exitStatuses(more []int) []exitStatus {
	codes := append([]int{ExitOK, ExitFailed, ExitUsage}, more...)
	expects := slices.Contains(more, ExitExpectation)
	if !expects {
		codes = append(codes, ExitDropped)
	}
	slices.Sort(codes)
	all := make([]exitStatus, len(codes))
	for i, code := range codes {
		all[i] = exitStatus{code, exitMeaning[code]}
		if code == ExitOK && expects {
			all[i].meaning = "it ended in order, and every expectation held"
		}
	}
	return all
}

// flagSynopsis is a flag as it is written, with the name of its value: the word in backquotes in its usage.
func flagSynopsis(f ucli.DocGenerationFlag) string {
	var names []string
	for _, name := range f.(ucli.Flag).Names() {
		if len(name) == 1 {
			names = append([]string{"-" + name}, names...)
		} else {
			names = append(names, "--"+name)
		}
	}
	synopsis := strings.Join(names, ", ")
	if f.TakesValue() {
		value := "VALUE"
		if _, after, ok := strings.Cut(f.GetUsage(), "`"); ok {
			value, _, _ = strings.Cut(after, "`")
		}
		synopsis += " " + value
	}
	return synopsis
}

func flagUsage(f ucli.DocGenerationFlag) string {
	usage := strings.ReplaceAll(f.GetUsage(), "`", "")
	switch value := strings.Trim(f.GetDefaultText(), `"`); value {
	case "", "0", "0s", "false":
		return usage
	default:
		return usage + " (default: " + value + ")"
	}
}

// helpRow writes one flag: its synopsis, and its usage in a column to the right of it.
func helpRow(b *strings.Builder, synopsis, usage string) {
	column := "  " + synopsis
	if utf8.RuneCountInString(column) > helpColumn-2 {
		b.WriteString(column + "\n")
		column = ""
	}
	for _, line := range wrap(usage, helpWidth-helpColumn) {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-*s%s", helpColumn, column, line), " ") + "\n")
		column = ""
	}
}

func wrap(text string, width int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}
