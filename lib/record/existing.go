package record

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// modTimeSlack is how much too early a file system may say that a file was written: FAT knows every other second.
const modTimeSlack = 2 * time.Second

// takeStock finds what earlier runs recorded: by the manifest if there is one, in its order, else by the names, in the
// order in which the files were last written. What a crash kept out of the manifest is entered.
func (f *finisher) takeStock() {
	if f.manifest == nil && !f.archive.rules.any() {
		return
	}
	files, err := f.template.finished()
	if err != nil {
		f.trouble.Warn("stock", "looking for earlier files failed", "err", err)
	}
	if f.manifest == nil {
		for _, file := range files {
			f.archive.add(file.path, file.info.ModTime())
		}
		return
	}
	entries, err := f.manifest.load()
	if err != nil {
		f.trouble.Warn("stock", "the files of earlier runs are not known", "err", err)
		return
	}
	unlisted := f.compare(entries, files)
	f.catchUp(entries)
	since := f.manifest.since
	if n := len(entries); n > 0 {
		since = entries[n-1].End
	}
	for _, file := range unlisted {
		if since.IsZero() || file.info.ModTime().Before(since.Add(-modTimeSlack)) {
			continue // it is older than the manifest, or than its last line
		}
		if err := f.adopt(file); err != nil && !errors.Is(err, errInUse) && !errors.Is(err, fs.ErrNotExist) {
			f.trouble.Warn("stock", "a file without a line in the manifest could not be entered", "file", file.path, "err", err)
		}
	}
}

// compare takes the files of the manifest into the archive, and returns those that are not in it.
func (f *finisher) compare(entries []Entry, files []found) (unlisted []found) {
	there := make(map[string]found, len(files))
	for _, file := range files {
		there[file.relative] = file
	}
	last := make(map[string]int) // the line of each file: names are used again when retention has made them free
	for i, e := range entries {
		last[e.File] = i
	}
	// Retention deletes from the beginning. Lines of missing files behind the first that is there are not its doing, and
	// when none is there, it is the disk that is missing.
	var missing []string
	started := false
	for i, e := range entries {
		if !f.template.matches(e.File) {
			continue
		}
		file, ok := there[e.File]
		switch {
		case ok && last[e.File] == i:
			started = true
			f.archive.add(file.path, e.End)
		case ok || !started:
			missing = append(missing, e.File)
		}
	}
	if started && f.archive.rules.any() {
		f.manifest.forget(missing)
	}
	for _, file := range files {
		if _, ok := last[file.relative]; !ok {
			unlisted = append(unlisted, file)
		}
	}
	return unlisted
}

// catchUp adds files to the playlist that a crash kept out of it: those that the manifest tells behind its last one.
func (f *finisher) catchUp(entries []Entry) {
	if f.playlist == nil || f.playlist.last() == "" {
		return
	}
	last := f.playlist.last()
	path := func(e *Entry) string { return filepath.Join(f.template.folder, e.File) }
	i := len(entries) - 1
	for i >= 0 && f.playlist.uri(path(&entries[i])) != last {
		i--
	}
	if i < 0 {
		return
	}
	for _, e := range entries[i+1:] {
		if _, err := os.Lstat(path(&e)); err == nil && f.template.matches(e.File) {
			f.playlist.add(path(&e), e.Start, e.length(), true)
		}
	}
}

// adopt enters a finished file that got its name right before a crash, and no line. What only that run knew is lost:
// why the file ended, and how much of it was injected or dropped.
func (f *finisher) adopt(file found) error {
	opened, err := os.Open(file.path)
	if err != nil {
		return err
	}
	defer opened.Close()
	if err := lock(opened, file.path); err != nil {
		return err // it has just been finished by another recorder, which will enter it
	}
	if entries, err := f.manifest.load(); err != nil || contains(entries, file.relative) {
		return err
	}
	s := &segment{temp: file.path, end: file.info.ModTime(), reason: Partial, length: -1, afterGap: true, hash: sha256.New()}
	gaps, err := s.count(opened)
	if err != nil {
		return fmt.Errorf("examine %s: %w", file.path, err)
	}
	s.injected, s.gaps = gaps.bytes, gaps.gaps
	s.size = file.info.Size() // with bytes that are no packets
	if _, err := io.Copy(s.hash, io.NewSectionReader(opened, 0, s.size)); err != nil {
		return err
	}
	e := s.entry()
	s.start = s.end.Add(-time.Duration(e.length()) * time.Second / mpegts.ClockRate)
	f.trouble.Warn("stock", "entered a file that a crash kept out of the manifest", "file", file.path)
	return f.enter(file.path, s)
}

func contains(entries []Entry, file string) bool {
	for _, e := range entries {
		if e.File == file {
			return true
		}
	}
	return false
}
