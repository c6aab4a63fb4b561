package record

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// finalize turns a segment into a finished file: synced, named, confirmed and indexed.
func (f *finalizer) finalize(s *segment) error {
	if s.empty() {
		return f.disk.Remove(s.temp)
	}
	err := s.sync()
	name := ""
	if err == nil {
		name, err = f.assignName(s.temp, s.path)
	}
	if err != nil {
		f.lostSegment = true
		return err
	}
	if err = f.syncDir(filepath.Dir(name)); err != nil {
		err = fmt.Errorf("sync the folder of %s: %w", name, err)
	} else if !f.confirmBlocked {
		f.queue.Confirm(s.pos)
	}
	s.dropped, f.unreportedDrops = f.unreportedDrops, 0
	if f.lostSegment {
		s.afterGap, s.gaps, f.lostSegment = true, max(s.gaps, 1), false
	}
	f.recorded.Segments++
	f.recorded.Frames += s.frames
	f.recorded.Keyframes += s.keyframes
	f.account.SetRecorded(f.recorded)
	f.log.Info("recorded", "file", name, "bytes", s.size, "frames", s.frames, "reason", s.reason)
	if err != nil {
		f.postpone(name, s)
		return err
	}
	listed := f.index(name, s)
	if listed != nil && (f.live || isFull(listed) && f.archive.hasRules()) {
		// With retention, the files that are finished next make this one deletable, and so room for its line.
		f.warnManifest(listed)
		listed = nil
	}
	return listed
}

// assignName gives a file the wanted name, or the first free number after it.
func (f *finalizer) assignName(temp, wanted string) (string, error) {
	// Numbers go on from the last one. Otherwise each of many files with one name would try all numbers from the
	// beginning.
	n := 0
	if wanted == f.lastWanted {
		n = f.lastNumber + 1
	}
	for ; ; n++ {
		name := numbered(wanted, n)
		err := f.disk.Rename(temp, name)
		if isFull(err) && f.archive.makeRoom() {
			n--
			continue
		}
		if err == nil {
			f.lastWanted, f.lastNumber = wanted, n
			return name, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("name %s: %w", name, err)
		}
	}
}

// syncDir syncs a directory and, the first time, its parents, which may have been created for it.
func (f *finalizer) syncDir(folder string) error {
	if err := f.disk.SyncDir(folder); err != nil {
		return err
	}
	if folder == f.lastSyncedFolder {
		return nil
	}
	parent := folder
	for range f.template.nesting + 1 {
		parent = filepath.Dir(parent)
		if err := f.disk.SyncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	f.lastSyncedFolder = folder
	return nil
}

// hashed reports whether files need a SHA-256.
func (f *finalizer) hashed() bool { return f.manifest != nil || f.hook != nil }

// entry returns the line of a finished file, with what is known of its command.
func (f *finalizer) entry(name string, s *segment) Entry {
	e := s.entry()
	e.File = f.template.relative(name)
	if f.hook == nil {
		return e
	}
	e.Exec = Todo
	if state, ok := f.states[e.key()]; ok { // its line was lost, but not that of its command
		e.Exec = state
		delete(f.states, e.key())
	}
	return e
}

// index adds a finished file to the archive, the manifest and the playlist, and queues it for --exec.
func (f *finalizer) index(name string, s *segment) (err error) {
	e := f.entry(name, s)
	f.archive.add(kept{path: name, ended: s.end, isListed: true, sha256: e.SHA256, exec: e.Exec})
	if f.manifest != nil {
		if err = f.manifest.add(e); isFull(err) {
			err = f.writeMakingRoom(f.manifest.path, f.manifest.flush)
		}
	}
	if f.playlist != nil {
		f.playlist.add(name, s.start, s.duration(&e), s.afterGap) // housekeep writes it
	}
	if e.Exec == Todo {
		f.hook.add(name, e, s.duration(&e))
	}
	return err
}
