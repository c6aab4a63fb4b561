package cli

import (
	"fmt"
	"slices"
	"strings"

	ucli "github.com/urfave/cli/v2"
)

// completionShells are the shells that a completion can be printed for.
var completionShells = []string{"bash", "zsh", "fish"}

// completedFlag is a flag as a shell completes it.
type completedFlag struct {
	name, usage string // without dashes; the usage in one line
	value       string // the name of the value; "": it takes none
	values      []string
	file        bool // the value is a path
}

// completion is the text that teaches a shell the flags of a tool.
func completion(app *ucli.App, shell string) (string, error) {
	flags := completedFlags(app)
	switch shell {
	case "bash":
		return bashCompletion(app.Name, flags), nil
	case "zsh":
		return zshCompletion(app.Name, flags), nil
	case "fish":
		return fishCompletion(app.Name, flags), nil
	}
	return "", Usagef("invalid value for --completion: unknown shell %q (%s)", shell, strings.Join(completionShells,
		", "))
}

func completedFlags(app *ucli.App) []completedFlag {
	more := aboutOf(app).Values
	var flags []completedFlag
	for _, f := range app.Flags {
		doc, ok := f.(ucli.DocGenerationFlag)
		if !ok || !visible(f) {
			continue
		}
		for _, name := range f.Names() {
			c := completedFlag{name: name, usage: strings.Join(strings.Fields(flagUsage(doc)), " "), values: more[name]}
			if _, value, ok := strings.Cut(flagSynopsis(doc), " "); ok && doc.TakesValue() {
				c.value = value[strings.LastIndexByte(value, ' ')+1:]
				if strings.Contains(c.value, "|") {
					c.values = strings.Split(c.value, "|")
				}
				c.file = len(c.values) == 0 && slices.Contains([]string{"FILE", "DIR", "TEMPLATE"}, c.value)
			}
			flags = append(flags, c)
		}
	}
	return flags
}

func (f *completedFlag) dashed() string {
	if len(f.name) == 1 {
		return "-" + f.name
	}
	return "--" + f.name
}

// bashCompletion completes names, values after a space or "=", and files where nothing else is known.
func bashCompletion(tool string, flags []completedFlag) string {
	function := "_" + strings.ReplaceAll(tool, "-", "_")
	var names, plain []string
	var cases strings.Builder
	for _, f := range flags {
		names = append(names, f.dashed())
		switch {
		case len(f.values) > 0:
			fmt.Fprintf(&cases, "    %s)\n", f.dashed())
			if strings.HasSuffix(f.values[0], "=") {
				cases.WriteString("      compopt -o nospace 2>/dev/null\n" +
					"      if [[ $cur == *,* ]]; then listed=${cur%,*}, cur=${cur##*,}; fi\n")
			}
			fmt.Fprintf(&cases, "      COMPREPLY=($(compgen -W %s -- \"$cur\"))\n"+
				"      COMPREPLY=(\"${COMPREPLY[@]/#/$listed}\")\n"+
				"      COMPREPLY=(\"${COMPREPLY[@]#\"$before\"}\")\n      return ;;\n",
				shellQuote(strings.Join(f.values, " ")))
		case f.value != "" && !f.file:
			plain = append(plain, f.dashed())
		}
	}
	if len(plain) > 0 {
		fmt.Fprintf(&cases, "    %s)\n      return ;;\n", strings.Join(plain, " | "))
	}
	return fmt.Sprintf(`# bash completion for %[1]s
%[2]s() {
  local cur prev i=$COMP_CWORD before= listed=
  COMPREPLY=()
  cur=${COMP_WORDS[i]}
  # bash cuts words at "=": what belongs together is put together again, and cut off what is offered.
  while [ "$i" -gt 1 ] && { [[ $cur == =* ]] || [ "${COMP_WORDS[i - 1]}" = "=" ]; }; do
    i=$((i - 1))
    cur=${COMP_WORDS[i]}$cur
  done
  prev=${COMP_WORDS[i - 1]}
  if [[ $cur == -*=* ]]; then prev=${cur%%%%=*} cur=${cur#*=}; fi
  if [ "$i" -lt "$COMP_CWORD" ] && [[ $cur == *=* ]]; then before=${cur%%=*}=; fi
  case $prev in
%[3]s  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W %[4]s -- "$cur"))
    return
  fi
  COMPREPLY=($(compgen -f -- "$cur"))
}
complete -o filenames -F %[2]s %[1]s
`, tool, function, cases.String(), shellQuote(strings.Join(names, " ")))
}

// zshCompletion is a function for the completion system, in a file _TOOL on the fpath.
func zshCompletion(tool string, flags []completedFlag) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %s\n_arguments -S \\\n", tool)
	for _, f := range flags {
		usage := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(f.usage)
		spec := "*" + f.dashed()
		if f.value != "" && len(f.name) > 1 {
			spec += "="
		}
		spec += "[" + usage + "]"
		switch {
		case len(f.values) > 0 && strings.HasSuffix(f.values[0], "="):
			spec += ":" + zshWord(f.value) + `:{compset -P "*,"; compadd -S "" -- ` + strings.Join(f.values, " ") + "}"
		case len(f.values) > 0:
			spec += ":" + zshWord(f.value) + ":(" + strings.Join(f.values, " ") + ")"
		case f.file:
			spec += ":" + f.value + ":_files"
		case f.value != "":
			spec += ":" + zshWord(f.value) + ": "
		}
		b.WriteString("  " + shellQuote(spec) + " \\\n")
	}
	b.WriteString("  '*:argument:_files'\n")
	return b.String()
}

func zshWord(value string) string {
	return strings.NewReplacer(":", " ", "|", " or ", "'", "").Replace(value)
}

// fishCompletion is a list of commands for a file TOOL.fish.
func fishCompletion(tool string, flags []completedFlag) string {
	var b strings.Builder
	for _, f := range flags {
		option := "-l " + f.name
		if len(f.name) == 1 {
			option = "-s " + f.name
		}
		switch {
		case len(f.values) > 0:
			option += " -x -a " + shellQuote(strings.Join(f.values, " "))
		case f.file:
			option += " -r -F"
		case f.value != "":
			option += " -x"
		}
		fmt.Fprintf(&b, "complete -c %s %s -d %s\n", tool, option, shellQuote(f.usage))
	}
	return b.String()
}

// shellQuote makes text one word for bash, zsh and fish.
func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
