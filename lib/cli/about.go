package cli

import (
	"slices"

	ucli "github.com/urfave/cli/v2"
)

// About is what the help, the manual page and the completion of a tool say beside its flags.
type About struct {
	// First are the names of the flags that most people need. They stand before the groups.
	First []string
	// Examples are commands that can be typed as they stand, each after what it does.
	Examples [][2]string
	// Environment are the variables that the tool reads, each with what it means.
	Environment [][2]string
	// Values are the beginnings of values, by the name of a flag. If the first one ends in "=", completion adds no
	// space.
	Values map[string][]string
}

const aboutKey = "vw.about"

// Metadata makes the Metadata of an app of what there is to say about it.
func (a About) Metadata() map[string]any { return map[string]any{aboutKey: a} }

func aboutOf(app *ucli.App) About {
	a, _ := app.Metadata[aboutKey].(About)
	return a
}

const (
	firstCategory = "What most people need"
	helpCategory  = "Help"
)

// group is a heading of the help with its flags.
type group struct {
	title string
	flags []ucli.DocGenerationFlag
}

// groups are the flags as the help and the manual page list them: those that most people need, those without a
// category, and the rest by category in the order in which they were given.
func groups(app *ucli.App) (all []group) {
	first := aboutOf(app).First
	byTitle := func(title string) *group {
		i := slices.IndexFunc(all, func(g group) bool { return g.title == title })
		if i < 0 {
			i = len(all)
			all = append(all, group{title: title})
		}
		return &all[i]
	}
	for _, name := range first {
		for _, f := range app.Flags {
			if doc, ok := f.(ucli.DocGenerationFlag); ok && slices.Contains(f.Names(), name) {
				g := byTitle(firstCategory)
				g.flags = append(g.flags, doc)
			}
		}
	}
	for _, inCategory := range []bool{false, true} {
		for _, f := range app.Flags {
			title := categoryOf(f)
			doc, ok := f.(ucli.DocGenerationFlag)
			if !ok || !visible(f) || inCategory != (title != "") || slices.Contains(first, f.Names()[0]) {
				continue
			}
			if title == "" {
				title = "Flags"
			}
			g := byTitle(title)
			g.flags = append(g.flags, doc)
		}
	}
	return all
}

func categoryOf(f ucli.Flag) string {
	if c, ok := f.(ucli.CategorizableFlag); ok {
		return c.GetCategory()
	}
	return ""
}

func visible(f ucli.Flag) bool {
	v, ok := f.(ucli.VisibleFlag)
	return !ok || v.IsVisible()
}
