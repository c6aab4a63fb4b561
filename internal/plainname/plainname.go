// Package plainname knows the names that may stand anywhere: in a header, a file, a log, a shell.
//
// It is vw's own and may change.
package plainname

// Valid reports whether s is 1 to longest letters, digits, dots, underscores and hyphens, all of ASCII. It is no
// regular expression, because compiling one at the start is a millisecond and tens of kilobytes that stay.
func Valid(s string, longest int) bool {
	if len(s) == 0 || len(s) > longest {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
