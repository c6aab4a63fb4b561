package test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// maxWords is how long a sentence of README.md and of a page's first screen may be.
const maxWords = 30

// TestSentences: what a stranger reads first has no long sentenceEnd.
func TestSentences(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	recipes, err := filepath.Glob("../docs/recipes/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(append(pages, recipes...), "../README.md") {
		text := string(read(t, file))
		if !strings.HasSuffix(file, "README.md") {
			text = firstScreen(text)
		}
		for _, s := range sentences(text) {
			if n := len(strings.Fields(s)); n > maxWords {
				t.Errorf("%s: %d words: %s", file, n, s)
			}
		}
	}
}

var (
	fencedCode  = regexp.MustCompile("(?ms)^```.*?^```")
	linkInPage  = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
	sentenceEnd = regexp.MustCompile(`[.?!]["')*]*(\s+|$)`)
)

// sentences are those of the paragraphs and table cells of a page: code, headings and the targets of links are none.
func sentences(page string) (all []string) {
	page = linkInPage.ReplaceAllString(fencedCode.ReplaceAllString(page, "\n"), "$1")
	var paragraph strings.Builder
	end := func() {
		for _, s := range sentenceEnd.Split(paragraph.String(), -1) {
			if s = strings.TrimSpace(s); s != "" {
				all = append(all, s)
			}
		}
		paragraph.Reset()
	}
	for line := range strings.Lines(page + "\n") {
		switch {
		case strings.HasPrefix(line, "    "), strings.TrimSpace(line) == "", strings.HasPrefix(line, "#"):
			end()
		case strings.HasPrefix(line, "|"):
			end()
			for cell := range strings.SplitSeq(line, "|") {
				paragraph.WriteString(cell)
				end()
			}
		default:
			if strings.HasPrefix(line, "- ") {
				end()
			}
			paragraph.WriteString(line)
		}
	}
	end()
	return all
}
