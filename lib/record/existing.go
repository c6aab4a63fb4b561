package record

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// modTimeSlack is how much too early a modification time may be. FAT has a resolution of two seconds.
const modTimeSlack = 2 * time.Second

// loadExisting finds the files of earlier runs. With a manifest it takes them in the manifest's order, and adds a line
// for a file that a crash kept out of it. Without one it takes files with the template's names, in the order of their
// modification times.
func (f *finalizer) loadExisting() {
	if f.manifest == nil && !f.archive.hasRules() {
		return
	}
	files, err := f.template.finished()
	if err != nil {
		f.throttled.Warn("existing", "earlier files not found", "err", err)
	}
	if f.manifest == nil {
		for _, file := range files {
			f.archive.add(kept{path: file.path, ended: file.info.ModTime()})
		}
		return
	}
	l, err := f.manifest.load()
	if err != nil {
		f.throttled.Warn("existing", "manifest not read; retention does not know earlier files", "err", err)
		return
	}
	f.states = l.states
	all, missing := f.matchManifest(l.entries, files)
	isDamaged := f.isDamaged()
	if isDamaged { // then the age of a file says nothing about whether it had a line
		all = f.mergeUnlisted(all, missing)
	}
	for _, k := range all {
		f.archive.add(k)
	}
	f.syncPlaylist(l.entries)
	f.resumeCommands(l.entries)
	if isDamaged {
		f.startRebuild(missing)
		return
	}
	since := f.manifest.since
	if n := len(l.entries); n > 0 {
		since = l.entries[n-1].End
	}
	for _, file := range missing {
		if since.IsZero() || file.info.ModTime().Before(since.Add(-modTimeSlack)) {
			continue // older than the manifest, or than its last line
		}
		switch err := f.indexMissing(file); {
		case err == nil, errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, errInUse):
			f.leaveToOther(file.path)
		default:
			f.throttled.Warn("existing", "file not added to the manifest", "file", file.path, "err", err)
		}
	}
}

// leaveToOther reports that the line of a file is not made here.
func (f *finalizer) leaveToOther(path string) {
	f.log.Info("file without a line left to the recorder that is finishing it", "file", path)
}

// isDamaged reports whether the manifest has lost lines to damage, and the user has not removed what was put aside.
func (f *finalizer) isDamaged() bool {
	f.manifest.repaired = false
	aside, _ := filepath.Glob(damagedPattern(escapeGlob(f.manifest.path)))
	return len(aside) > 0
}

// matchManifest returns the files that have a line in the order of the lines, and those that have none.
func (f *finalizer) matchManifest(entries []Entry, files []found) (listed []kept, missing []found) {
	there := make(map[string]found, len(files))
	for _, file := range files {
		there[file.relative] = file
	}
	last := make(map[string]int) // the last line of each name; retention frees names, which are then used again
	for i, e := range entries {
		last[e.File] = i
	}
	// Retention deletes from the beginning. Missing files after the first that exists were not deleted by it, and if no
	// file exists, the disk is probably not mounted. Their lines stay.
	var gone []string
	for i, e := range entries {
		if !f.template.matches(e.File) {
			continue
		}
		file, ok := there[e.File]
		switch {
		case ok && last[e.File] == i:
			listed = append(listed, kept{path: file.path, ended: e.End, isListed: true, sha256: e.SHA256, exec: e.Exec})
		case ok || len(listed) == 0:
			gone = append(gone, e.File)
		}
	}
	if len(listed) > 0 && f.archive.hasRules() {
		f.manifest.markDeleted(gone...)
	}
	return listed, unlisted(files, func(relative string) bool { _, ok := last[relative]; return ok })
}

// mergeUnlisted puts files without a line among those that have one. Retention can delete them before their lines are
// rebuilt.
func (f *finalizer) mergeUnlisted(listed []kept, missing []found) (all []kept) {
	for _, k := range listed {
		relative := f.template.relative(k.path)
		for len(missing) > 0 && missing[0].before == relative {
			all = append(all, f.unlistedFile(missing[0]))
			missing = missing[1:]
		}
		all = append(all, k)
	}
	for _, file := range missing {
		all = append(all, f.unlistedFile(file))
	}
	return all
}

func (f *finalizer) unlistedFile(file found) kept {
	k := kept{path: file.path, ended: file.info.ModTime()}
	if f.hook != nil {
		k.exec = Todo
	}
	return k
}

// resumeCommands queues the files whose command has not succeeded in earlier runs.
func (f *finalizer) resumeCommands(entries []Entry) {
	if f.hook == nil {
		return
	}
	for i := range entries {
		path := filepath.Join(f.template.folder, entries[i].File)
		if entries[i].Exec != Todo || !f.template.matches(entries[i].File) {
			continue
		}
		if _, err := os.Lstat(path); err == nil {
			f.hook.add(path, entries[i], entries[i].length())
		} else {
			f.throttled.Warn("existing", "file is gone before its command succeeded", "file", path, "err", err)
		}
	}
}

// syncPlaylist adds the files that a crash, or damage, kept out of the playlist: those after its last one in the
// manifest. To a damaged playlist without any file it adds all.
func (f *finalizer) syncPlaylist(entries []Entry) {
	if f.playlist == nil {
		return
	}
	path := func(e *Entry) string { return filepath.Join(f.template.folder, e.File) }
	first := len(entries)
	if last := f.playlist.last(); last != "" {
		i := len(entries) - 1
		for i >= 0 && f.playlist.uri(path(&entries[i])) != last {
			i--
		}
		if i >= 0 {
			first = i + 1
		}
	} else if f.playlist.damaged {
		first = 0
	}
	for _, e := range entries[first:] {
		if _, err := os.Lstat(path(&e)); err == nil && f.template.matches(e.File) {
			f.playlist.add(path(&e), e.Start, e.length(), true)
		}
	}
}

// escapeGlob returns a pattern that matches a path only.
func escapeGlob(path string) string {
	var b []byte
	for _, c := range []byte(path) {
		if slices.Contains([]byte(`*?[\`), c) {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return string(b)
}
