package record

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-strftime"
)

// namePattern recognises the names that a template makes, exactly: a name is one of them only if formatting the time
// that it says gives the same name again. So 20260230, which is no date, is not.
type namePattern struct {
	text   string // the template below its folder
	tokens []token
	years  []int // to try where the name does not say the year
}

// token is a literal, or with a kind the output of one strftime conversion.
type token struct {
	literal     string
	kind        byte
	least, most int // characters of a number
}

// composites are conversions that stand for others. The output of each is that of its parts.
var composites = map[byte]string{
	'F': "%Y-%m-%d", 'D': "%m/%d/%y", 'x': "%m/%d/%y", 'r': "%I:%M:%S %p", 'T': "%H:%M:%S", 'X': "%H:%M:%S",
	'R': "%H:%M",
	'c': "%a %b %e %H:%M:%S %Y", '+': "%a %b %e %H:%M:%S UTC %Y", 'v': "%e-%b-%Y", 'Z': "UTC",
}

// digits is how many digits a number has when it is padded. A kind without an entry is not a number.
var digits = map[byte]int{
	'Y': 4, 'G': 4, 'y': 2, 'g': 2, 'C': 2, 'm': 2, 'd': 2, 'e': 2, 'j': 3, 'H': 2, 'k': 2, 'I': 2, 'l': 2, 'M': 2,
	'S': 2,
	'L': 3, 'f': 6, 'N': 9, 'U': 2, 'W': 2, 'V': 2, 'w': 1, 'u': 1,
}

// newNamePattern returns the pattern of a template without its folder. The template has been checked.
func newNamePattern(text string) *namePattern {
	p := &namePattern{text: text}
	p.add(text)
	// In 28 years each date falls on each day of the week, in leap years and others.
	for year := 2000; year < 2028; year++ {
		p.years = append(p.years, year)
	}
	if !p.has("aAwuUWVGg") { // any leap year has all dates
		p.years = p.years[:1]
	}
	return p
}

func (p *namePattern) add(text string) {
	for i := 0; i < len(text); {
		if text[i] != '%' {
			p.tokens = append(p.tokens, token{literal: text[i : i+1]})
			i++
			continue
		}
		n, err := conversion(text[i:])
		if err != nil {
			return
		}
		p.addConversion(text[i:i+n], text[i+n-1])
		i += n
	}
}

func (p *namePattern) addConversion(conversion string, kind byte) {
	if parts := composites[kind]; parts != "" {
		p.add(parts)
		return
	}
	t := token{kind: kind, least: digits[kind], most: digits[kind]}
	switch {
	case kind == 's' || kind == 'Q':
		t.least, t.most = 1, 19
	case kind == '%' || kind == 'z' || kind == 't' || kind == 'n': // the same for all times in UTC
		t = token{literal: strftime.Format(conversion, time.Unix(0, 0).UTC())}
	case kind == 'h':
		t.kind = 'b'
	case len(conversion) > 2: // a flag may have taken the padding away
		t.least = 1
	}
	p.tokens = append(p.tokens, t)
}

// has reports whether the template has one of these kinds of conversions.
func (p *namePattern) has(kinds string) bool {
	return slices.ContainsFunc(p.tokens, func(t token) bool {
		return t.kind != 0 && strings.IndexByte(kinds, t.kind) >= 0
	})
}

// matches reports whether the template makes this name for some time.
func (p *namePattern) matches(name string) bool {
	return p.parse(name, name, p.tokens, make(map[byte]int64, 8))
}

// parse matches the rest of a name to the rest of the tokens. values has what was read before, by kind.
func (p *namePattern) parse(name, rest string, tokens []token, values map[byte]int64) bool {
	for len(tokens) > 0 && tokens[0].kind == 0 {
		var ok bool
		if rest, ok = strings.CutPrefix(rest, tokens[0].literal); !ok {
			return false
		}
		tokens = tokens[1:]
	}
	if len(tokens) == 0 {
		return rest == "" && p.isTime(name, values)
	}
	kind := tokens[0].kind
	if list := wordsOf(kind); list != nil {
		for i, word := range list {
			if after, ok := strings.CutPrefix(rest, word); ok {
				values[kind] = int64(i)
				return p.parse(name, after, tokens[1:], values)
			}
		}
		return false
	}
	for n := tokens[0].most; n >= max(tokens[0].least, 1); n-- {
		if n > len(rest) {
			continue
		}
		value, err := strconv.ParseInt(strings.TrimPrefix(rest[:n], " "), 10, 64)
		if err != nil {
			continue
		}
		values[kind] = value
		if p.parse(name, rest[n:], tokens[1:], values) {
			return true
		}
	}
	return false
}

// isTime reports whether a time with these values has the name.
func (p *namePattern) isTime(name string, values map[byte]int64) bool {
	is := func(at time.Time) bool { return strftime.Format(p.text, at.UTC()) == name }
	value := func(kinds string, otherwise int) int {
		for _, kind := range []byte(kinds) {
			if v, ok := values[kind]; ok {
				return int(v)
			}
		}
		return otherwise
	}
	nanos := values['N']
	if nanos == 0 {
		nanos = max(values['f']*1000, values['L']*1e6)
	}
	if seconds, ok := values['s']; ok {
		return is(time.Unix(seconds, nanos))
	}
	if millis, ok := values['Q']; ok {
		return is(time.UnixMilli(millis).Add(time.Duration(nanos % 1e6)))
	}
	hour := value("Il", 0)%12 + 12*value("pP", 0)
	hour = value("Hk", hour)
	at := func(year, month, day int) bool {
		return is(time.Date(year, time.Month(month), day, hour, value("M", 0), value("S", 0), int(nanos), time.UTC))
	}
	month := value("m", value("bB", -1)+1)
	day := value("de", 0)
	for _, year := range p.possibleYears(values) {
		switch yearDay := value("j", 0); {
		case yearDay > 0:
			if at(year, 1, yearDay) {
				return true
			}
		case month > 0 && day > 0:
			if at(year, month, day) {
				return true
			}
		case !p.has("aAwuUWVGg"): // January has all days, and any day does for a month
			if at(year, max(month, 1), max(day, 1)) {
				return true
			}
		default:
			for date := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC); date.Year() == year; date = date.AddDate(0, 0, 1) {
				if at(year, int(date.Month()), date.Day()) {
					return true
				}
			}
		}
	}
	return false
}

// possibleYears returns the years that a name leaves open.
func (p *namePattern) possibleYears(values map[byte]int64) []int {
	if year, ok := values['Y']; ok {
		return []int{int(year)}
	}
	if year, ok := values['G']; ok {
		return around(int(year))
	}
	centuries := []int{2000, 1900}
	century, hasCentury := values['C']
	if hasCentury {
		centuries = []int{int(century) * 100}
	}
	year, hasYear := values['y']
	weekYear, hasWeekYear := values['g']
	var years []int
	for _, first := range centuries {
		switch {
		case hasYear:
			years = append(years, first+int(year))
		case hasWeekYear:
			// The first and last days of a century can be in weeks of a year of another one.
			years = append(append(years, around(first+int(weekYear))...), first, first+99)
		case hasCentury:
			for _, year := range p.years {
				years = append(years, first+year-2000)
			}
		}
	}
	if years == nil {
		return p.years
	}
	return years
}

// around returns the years that can have days in weeks of an ISO 8601 year.
func around(year int) []int { return []int{year, year - 1, year + 1} }

// wordsOf returns the words that a conversion makes, in the order of their values, nil if it makes numbers.
func wordsOf(kind byte) (words []string) {
	switch kind {
	case 'p':
		return []string{"AM", "PM"}
	case 'P':
		return []string{"am", "pm"}
	case 'a', 'A':
		for day := time.Sunday; day <= time.Saturday; day++ {
			words = append(words, shortened(day.String(), kind == 'a'))
		}
	case 'b', 'B':
		for month := time.January; month <= time.December; month++ {
			words = append(words, shortened(month.String(), kind == 'b'))
		}
	}
	return words
}

func shortened(word string, isShort bool) string {
	if isShort {
		return word[:3]
	}
	return word
}

// unnumbered undoes numbered. It returns path if that has no number.
func unnumbered(path string) string {
	ext := filepath.Ext(path)
	stem := strings.TrimSuffix(path, ext)
	i := strings.LastIndexByte(stem, '_')
	if i < 0 {
		return path
	}
	n, err := strconv.Atoi(stem[i+1:])
	if original := stem[:i] + ext; err == nil && n > 0 && numbered(original, n) == path {
		return original
	}
	return path
}

// withoutPartial undoes partialName. It returns path if that is not a partial file's.
func withoutPartial(path string) string {
	ext := filepath.Ext(path)
	stem := strings.TrimSuffix(path, ext)
	for _, original := range []string{stem, strings.TrimSuffix(stem, ".partial") + ext} {
		if original != path && partialName(original) == path {
			return original
		}
	}
	return path
}
