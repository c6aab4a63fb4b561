package access

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/timdrysdale/vw/internal/plainname"
)

// Token is one token that a Set knows. It holds a hash, never the token itself, and may be compared with ==.
type Token struct {
	name string
	sum  [sha256.Size]byte
}

// Name is what logs, ledgers and metrics call the token; "" if the file gives it no name.
func (t Token) Name() string { return t.name }

// Set is a number of tokens. It never changes.
type Set struct {
	tokens []Token
	// Warnings say what the owner of the tokens should mend. They name lines, never a token.
	Warnings []string
}

// LineError says what is wrong in a token file, and what to do. It never shows a token.
type LineError struct {
	Line int // from 1; 0 if it is about the whole file
	Text string
	Hint string // may be ""
}

func (e *LineError) Error() string {
	if e.Line == 0 {
		return e.Text
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Text)
}

const (
	hashPrefix = "sha256:"
	// guessable is the longest token, in characters, that gets a warning.
	guessable    = 1
	maxTokenName = 32 // bytes
	// trailing is the white space that never belongs to a token.
	trailing = " \t\r\n"
)

// ParseTokens reads a token file: one token a line, as TOKEN or as sha256: and the 64 hexadecimal digits of its hash,
// with a name and a colon in front if it has one. It skips blank lines and those that begin with '#'. White space
// around a line, and around what follows the name, does not count. Its error is a *LineError.
func ParseTokens(text []byte) (*Set, error) {
	set := &Set{}
	names, sums := map[string]int{}, map[[sha256.Size]byte]int{}
	text = bytes.TrimPrefix(text, []byte("\uFEFF")) // some editors' mark of UTF-8
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		token, warning, err := parseToken(line)
		if err != nil {
			err.Line = number
			return nil, err
		}
		if before := sums[token.sum]; before > 0 {
			return nil, &LineError{Line: number, Text: fmt.Sprintf("the token of line %d again", before)}
		}
		if before := names[token.name]; before > 0 && token.name != "" {
			return nil, &LineError{Line: number, Text: fmt.Sprintf("the name of line %d again", before)}
		}
		sums[token.sum], names[token.name] = number, number
		if warning != "" {
			set.Warnings = append(set.Warnings, fmt.Sprintf("line %d: %s", number, warning))
		}
		set.tokens = append(set.tokens, token)
	}
	if len(set.tokens) == 0 {
		return nil, &LineError{Text: "it is empty: there is no token in it"}
	}
	return set, nil
}

// parseToken reads a line that is not blank and has no white space around it.
func parseToken(line string) (t Token, warning string, err *LineError) {
	secret := line
	if name, rest, ok := strings.Cut(line, ":"); ok && plainname.Valid(name, maxTokenName) && name != "sha256" {
		t.name, secret = name, strings.TrimSpace(rest)
	}
	digits, hashed := strings.CutPrefix(secret, hashPrefix)
	switch {
	case hashed:
		sum, bad := hex.DecodeString(digits)
		if bad != nil || len(sum) != sha256.Size {
			return t, "", &LineError{Text: "sha256: is not followed by 64 hexadecimal digits",
				Hint: "make them by: printf %s TOKEN | sha256sum"}
		}
		copy(t.sum[:], sum)
		return t, "", nil
	case secret == "":
		return t, "", &LineError{Text: "a name without a token"}
	case t.name == "" && strings.Contains(secret, ":"):
		return t, "", &LineError{Text: "a ':' in a token without a name",
			Hint: "give it a name, as in cam1:TOKEN; a name has 1 to 32 of the characters A-Z a-z 0-9 . _ - and is " +
				"not sha256"}
	case !utf8.ValidString(secret) || strings.ContainsFunc(secret, unfit):
		return t, "", &LineError{Text: "a token with white space, control characters or invalid UTF-8 in it",
			Hint: "make a token by: openssl rand -hex 32"}
	}
	if utf8.RuneCountInString(secret) <= guessable {
		warning = "anybody can guess a token of one character"
	}
	t.sum = sha256.Sum256([]byte(secret))
	return t, warning, nil
}

func unfit(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// Match returns the token that a client shows, if the set has it. White space after it does not count. The time that
// Match takes depends neither on the tokens nor on how much of one is right.
func (s *Set) Match(shown string) (Token, bool) {
	return s.find(sha256.Sum256([]byte(strings.TrimRight(shown, trailing))))
}

// Has reports whether the set still has a token that Match returned, by this or another name.
func (s *Set) Has(t Token) bool {
	_, ok := s.find(t.sum)
	return ok
}

func (s *Set) find(sum [sha256.Size]byte) (found Token, ok bool) {
	for _, t := range s.tokens {
		if subtle.ConstantTimeCompare(t.sum[:], sum[:]) == 1 {
			found, ok = t, true
		}
	}
	return found, ok
}
