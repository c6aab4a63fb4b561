package record

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// complete makes a segment a file.
func (f *finisher) complete(s *segment) error {
	if s.empty() {
		return f.disk.Remove(s.temp)
	}
	err := s.sync()
	name := ""
	if err == nil {
		name, err = f.giveName(s.temp, s.path)
	}
	if err != nil {
		f.hole = true
		return err
	}
	if err = f.syncFolder(filepath.Dir(name)); err != nil {
		err = fmt.Errorf("sync the folder of %s: %w", name, err) // it has its name all the same
	} else if !f.broken {
		f.queue.Confirm(s.pos)
	}
	s.dropped, f.untold = f.untold, 0
	if f.hole {
		s.afterGap, s.gaps, f.hole = true, max(s.gaps, 1), false
	}
	f.recorded.Segments++
	f.recorded.Frames += s.frames
	f.recorded.Keyframes += s.keyframes
	f.account.SetRecorded(f.recorded)
	f.log.Info("recorded", "file", name, "bytes", s.size, "frames", s.frames, "reason", s.reason)
	listed := f.enter(name, s)
	if listed != nil && f.live {
		f.trouble.Warn("manifest", "manifest not written; its lines are kept for later", "err", listed)
		listed = nil
	}
	return errors.Join(err, listed)
}

// giveName gives a file the name that it wants, or with the first free number.
func (f *finisher) giveName(temp, wanted string) (string, error) {
	// Numbers go on from where they were: many files of one name would else be tried again each time.
	n := 0
	if wanted == f.wanted {
		n = f.number + 1
	}
	for ; ; n++ {
		name := numbered(wanted, n)
		err := f.disk.Rename(temp, name)
		if err == nil {
			f.wanted, f.number = wanted, n
			return name, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("name %s: %w", name, err)
		}
	}
}

// syncFolder makes the name of a file last, and those of the folders that may have been made for it.
func (f *finisher) syncFolder(folder string) error {
	if err := f.disk.SyncFolder(folder); err != nil {
		return err
	}
	if folder == f.folder {
		return nil
	}
	f.folder = folder
	for range f.template.nesting + 1 {
		folder = filepath.Dir(folder)
		if err := f.disk.SyncFolder(folder); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// hashed says whether somebody wants to know the hash of the files.
func (f *finisher) hashed() bool { return f.manifest != nil || f.hook != nil }

// enter adds a finished file to the archive, the manifest and the playlist, and has the command run for it.
func (f *finisher) enter(name string, s *segment) (err error) {
	f.archive.add(name, s.end)
	entry := s.entry()
	entry.File = f.template.relative(name)
	if f.manifest != nil {
		if err = f.manifest.add(entry); isFull(err) {
			err = f.roomFor(f.manifest.path, f.manifest.flush)
		}
	}
	if f.playlist != nil {
		f.playlist.add(name, s.start, s.duration(&entry), s.afterGap) // tidy will write it
	}
	if f.hook != nil {
		f.hook.add(name, &entry, s.duration(&entry))
	}
	return err
}
