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

// modTimeSlack is how much too early a modification time may be. FAT has a resolution of two seconds.
const modTimeSlack = 2 * time.Second

// loadExisting finds the files of earlier runs. With a manifest it takes them in the manifest's order, and adds a line
// for a file that a crash kept out of it. Without one it takes files with the template's names, in the order of their
// modification times.
func (f *finalizer) loadExisting() {
	if f.manifest == nil && !f.archive.rules.any() {
		return
	}
	files, err := f.template.finished()
	if err != nil {
		f.throttled.Warn("existing", "earlier files not found", "err", err)
	}
	if f.manifest == nil {
		for _, file := range files {
			f.archive.add(file.path, file.info.ModTime())
		}
		return
	}
	entries, err := f.manifest.load()
	if err != nil {
		f.throttled.Warn("existing", "manifest not read; retention does not know earlier files", "err", err)
		return
	}
	unlisted := f.matchManifest(entries, files)
	f.syncPlaylist(entries)
	since := f.manifest.since
	if n := len(entries); n > 0 {
		since = entries[n-1].End
	}
	for _, file := range unlisted {
		if since.IsZero() || file.info.ModTime().Before(since.Add(-modTimeSlack)) {
			continue // older than the manifest, or than its last line
		}
		if err := f.indexMissing(file); err != nil && !errors.Is(err, errInUse) && !errors.Is(err, fs.ErrNotExist) {
			f.throttled.Warn("existing", "file not added to the manifest", "file", file.path, "err", err)
		}
	}
}

// matchManifest adds the files that have a line to the archive, and returns those that have none.
func (f *finalizer) matchManifest(entries []Entry, files []found) (unlisted []found) {
	there := make(map[string]found, len(files))
	for _, file := range files {
		there[file.relative] = file
	}
	last := make(map[string]int) // the last line of each name; a name is used again after retention has deleted its file
	for i, e := range entries {
		last[e.File] = i
	}
	// Retention deletes from the beginning. Missing files after the first that exists were not deleted by it, and if no
	// file exists, the disk is probably not mounted. Their lines stay.
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
		f.manifest.markDeleted(missing)
	}
	for _, file := range files {
		if _, ok := last[file.relative]; !ok {
			unlisted = append(unlisted, file)
		}
	}
	return unlisted
}

// syncPlaylist adds the files that a crash kept out of the playlist: those after its last one in the manifest.
func (f *finalizer) syncPlaylist(entries []Entry) {
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

// indexMissing adds a line for a finished file that got its name right before a crash. It cannot know why the file
// ended, and how much was injected or dropped.
func (f *finalizer) indexMissing(file found) error {
	opened, err := os.Open(file.path)
	if err != nil {
		return err
	}
	defer opened.Close()
	if err := lock(opened, file.path); err != nil {
		return err // another recorder has just finished it and will add the line
	}
	if entries, err := f.manifest.load(); err != nil || contains(entries, file.relative) {
		return err
	}
	s := &segment{temp: file.path, end: file.info.ModTime(), reason: Partial, length: -1, afterGap: true,
		hash: sha256.New()}
	gaps, err := s.count(opened)
	if err != nil {
		return fmt.Errorf("read %s: %w", file.path, err)
	}
	s.injected, s.gaps = gaps.bytes, gaps.gaps
	s.size = file.info.Size() // with bytes that are not packets
	if _, err := io.Copy(s.hash, io.NewSectionReader(opened, 0, s.size)); err != nil {
		return err
	}
	e := s.entry()
	s.start = s.end.Add(-time.Duration(e.length()) * time.Second / mpegts.ClockRate)
	f.throttled.Warn("existing", "file added to the manifest; a crash had kept it out", "file", file.path)
	return f.index(file.path, s)
}

func contains(entries []Entry, file string) bool {
	for _, e := range entries {
		if e.File == file {
			return true
		}
	}
	return false
}
