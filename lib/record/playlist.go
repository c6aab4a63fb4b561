package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/timdrysdale/vw/lib/atomicfile"
	"github.com/timdrysdale/vw/lib/mpegts"
)

// playlist is an HLS media playlist (RFC 8216) of the finished files. It is replaced as a whole after each file, and
// continues that of an earlier run.
type playlist struct {
	path string
	size int // how many files it shows at most; 0: all
	// target is EXT-X-TARGETDURATION in seconds. It should not change while clients play, so it begins with
	// --rotate-time.
	target int64
	// sequence and discontinuities count the files and the discontinuities that were removed from the beginning.
	sequence, discontinuities int64
	items                     []item
	resumed                   bool // the next file does not continue the last item
	dirty                     bool // changed since it was written
	ended                     bool
	damaged                   bool // items were lost when it was opened
}

// item is a file of a playlist.
type item struct {
	uri           string
	length        string // seconds
	start         string // RFC 3339, or ""
	discontinuity bool   // before this file
}

// openPlaylist reads the playlist of an earlier run, and writes it. rotate is the expected length of the files. If the
// error is that the disk is full, the playlist can be used all the same. It puts a damaged one aside and keeps what it
// can read of it.
func openPlaylist(path string, size int, rotate time.Duration, throttled Logger) (*playlist, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, fmt.Errorf("write playlist: %w", err)
	}
	p := &playlist{path: path, size: size, target: max(int64((rotate+time.Second-1)/time.Second), 1)}
	atomicfile.RemoveStale(path)
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("write playlist: %w", err)
	default:
		defer f.Close()
		if err := p.read(f, throttled); err != nil {
			return p, fmt.Errorf("write playlist: %w", err)
		}
	}
	p.resumed, p.dirty = true, true
	return p, p.flush()
}

func (p *playlist) read(f *os.File, throttled Logger) error {
	lost := p.parse(f)
	if lost == 0 {
		return nil
	}
	p.damaged = true
	aside, err := putAside(f, p.path)
	if err == nil {
		throttled.Warn("damaged playlist", "playlist damaged; its readable files are kept",
			"file", p.path, "files", len(p.items), "lost_lines", lost, "put_aside", aside)
	}
	return err
}

// parse reads a playlist as vw-record writes it, and returns how many lines it could not use.
func (p *playlist) parse(r io.Reader) (lost int) {
	var next item
	lines := 0
	skipped, err := eachLine(r, func(b []byte) {
		line := strings.TrimRight(string(b), "\r\n")
		lines++
		tag, value, _ := strings.Cut(line, ":")
		number, bad := strconv.ParseInt(value, 10, 64)
		isNumber := bad == nil && number >= 0
		isGood := true
		switch {
		case lines == 1:
			isGood = line == "#EXTM3U"
		case !utf8.ValidString(line) || strings.ContainsFunc(line, unicode.IsControl):
			isGood = false
		case tag == "#EXT-X-TARGETDURATION":
			if isGood = isNumber && number < maxTarget; isGood {
				p.target = max(p.target, number)
			}
		case tag == "#EXT-X-MEDIA-SEQUENCE":
			if isGood = isNumber; isGood {
				p.sequence = number
			}
		case tag == "#EXT-X-DISCONTINUITY-SEQUENCE":
			if isGood = isNumber; isGood {
				p.discontinuities = number
			}
		case tag == "#EXT-X-DISCONTINUITY":
			next.discontinuity = true
		case tag == "#EXT-X-PROGRAM-DATE-TIME":
			next.start = value
		case tag == "#EXTINF":
			next.length, _, _ = strings.Cut(value, ",")
			_, err := strconv.ParseFloat(next.length, 64)
			isGood = err == nil
		case line != "" && line[0] != '#':
			if isGood = next.length != ""; isGood {
				next.uri = line
				p.items = append(p.items, next)
			}
			next = item{}
		}
		if !isGood {
			lost++
			next = item{}
		}
	})
	if skipped > 0 || err != nil {
		lost++
	}
	return lost
}

// maxTarget bounds EXT-X-TARGETDURATION, in seconds: a day's file is the longest that anybody plays.
const maxTarget = 7 * 24 * 3600

// uri returns the URI of a file relative to the playlist.
func (p *playlist) uri(path string) string {
	relative, err := filepath.Rel(filepath.Dir(p.path), path)
	if err != nil {
		relative = path
	}
	parts := strings.Split(filepath.ToSlash(relative), "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	if strings.Contains(parts[0], ":") { // otherwise it looks like a scheme
		parts[0] = "./" + parts[0]
	}
	return strings.Join(parts, "/")
}

// add adds the newest file. length is in units of 1/90000 s.
func (p *playlist) add(path string, start time.Time, length int64, afterGap bool) {
	p.items = append(p.items, item{
		uri: p.uri(path), length: seconds(length), start: start.UTC().Format("2006-01-02T15:04:05.000Z07:00"),
		discontinuity: (afterGap || p.resumed) && p.sequence+int64(len(p.items)) > 0,
	})
	p.resumed, p.dirty = false, true
	p.target = max(p.target, (length+mpegts.ClockRate/2)/mpegts.ClockRate)
	for p.size > 0 && len(p.items) > p.size {
		p.shift(1)
	}
}

// shift removes the first n items.
func (p *playlist) shift(n int) {
	for _, i := range p.items[:n] {
		if i.discontinuity {
			p.discontinuities++
		}
	}
	p.sequence += int64(n)
	p.items = append(p.items[:0], p.items[n:]...)
	p.dirty = true
}

// remove removes a deleted file and all items before it: items may only leave a playlist from its beginning.
func (p *playlist) remove(path string) {
	uri := p.uri(path)
	for i := range p.items {
		if p.items[i].uri == uri {
			p.shift(i + 1)
			return
		}
	}
}

// last returns the URI of the newest file, or "".
func (p *playlist) last() string {
	if len(p.items) == 0 {
		return ""
	}
	return p.items[len(p.items)-1].uri
}

// flush writes the playlist if it has changed.
func (p *playlist) flush() error {
	if !p.dirty {
		return nil
	}
	return p.write()
}

// end makes the playlist say that no more files will come.
func (p *playlist) end() { p.ended, p.dirty = true, true }

func (p *playlist) write() error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:%d\n", p.target,
		p.sequence)
	if p.discontinuities > 0 {
		fmt.Fprintf(&b, "#EXT-X-DISCONTINUITY-SEQUENCE:%d\n", p.discontinuities)
	}
	for _, i := range p.items {
		if i.discontinuity {
			b.WriteString("#EXT-X-DISCONTINUITY\n")
		}
		if i.start != "" {
			fmt.Fprintf(&b, "#EXT-X-PROGRAM-DATE-TIME:%s\n", i.start)
		}
		fmt.Fprintf(&b, "#EXTINF:%s,\n%s\n", i.length, i.uri)
	}
	if p.ended {
		b.WriteString("#EXT-X-ENDLIST\n")
	}
	if err := atomicfile.Write(p.path, b.Bytes(), 0o666); err != nil {
		return fmt.Errorf("write playlist %s: %w", p.path, err)
	}
	p.dirty = false
	return nil
}
