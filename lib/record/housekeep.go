package record

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// housekeep enforces retention, and updates the playlist and the manifest.
func (f *finalizer) housekeep() {
	f.archive.enforce()
	f.unlistDeleted()
	if f.playlist != nil {
		if err := f.writeMakingRoom(f.playlist.path, f.playlist.flush); err != nil {
			f.throttled.Warn("playlist", "playlist not written; the next file will retry", "err", err)
		}
	}
	if f.manifest == nil {
		return
	}
	if !f.manifest.isWritten() {
		if err := f.writeMakingRoom(f.manifest.path, f.manifest.flush); err != nil {
			f.warnManifest(err)
		}
	}
	if err := f.manifest.compact(); err != nil {
		f.throttled.Warn("manifest", "manifest not compacted", "err", err)
	}
	f.rebuildIfDamaged()
}

func (f *finalizer) warnManifest(err error) {
	f.throttled.Warn("manifest", "manifest not written; its lines wait in memory", "err", err)
}

// unlistDeleted removes deleted files from the playlist, and marks their lines of the manifest. A file whose command
// had not succeeded is lost, which it says wherever a user may look; if the command is running, when it has failed.
func (f *finalizer) unlistDeleted() {
	for _, k := range f.archive.takeRemoved() {
		f.unlist(k.path, k.isListed)
		if !f.archive.isSpared(k) {
			continue
		}
		// Also while the command is running: if the recorder dies now, nobody will know how that ends.
		key := fileKey{f.template.relative(k.path), k.sha256}
		if err := f.manifest.setExec(key, Lost); err != nil {
			f.warnManifest(err)
		}
		if f.hook.drop(key) {
			f.log.Warn("file deleted while the command of --exec runs for it", "file", k.path)
			f.undecided[key] = true
			continue
		}
		f.uncarried(k.path)
	}
}

// uncarried counts a file that was deleted before its command had succeeded.
func (f *finalizer) uncarried(path string) {
	f.recorded.Uncarried++
	f.account.SetRecorded(f.recorded)
	f.log.Warn("file deleted before the command of --exec had succeeded", "file", path)
}

// unlist takes a file that is gone out of the playlist and the manifest.
func (f *finalizer) unlist(path string, isListed bool) {
	if f.playlist != nil {
		f.playlist.remove(path)
	}
	if f.manifest != nil && isListed {
		f.manifest.markDeleted(f.template.relative(path))
	}
}

// writeMakingRoom calls write, which writes the file of a path. While the disk is full, it deletes the oldest recording
// and tries again, but only if the file is on the recordings' disk.
func (f *finalizer) writeMakingRoom(path string, write func() error) error {
	err := write()
	for isFull(err) && sameDisk(filepath.Dir(path), f.template.folder) && f.archive.makeRoom() {
		f.unlistDeleted()
		err = write()
	}
	return err
}

// endPlaylist writes the playlist with its end.
func (f *finalizer) endPlaylist() {
	if f.playlist == nil {
		return
	}
	f.playlist.end()
	if err := f.writeMakingRoom(f.playlist.path, f.playlist.flush); err != nil {
		f.fail(err)
	}
}

// commandEnded notes how the command for a file has ended.
func (f *finalizer) commandEnded(r commandResult) {
	_, err := os.Lstat(r.path)
	isGone := errors.Is(err, fs.ErrNotExist)
	f.unlistDeleted() // it may have been deleted a moment ago
	wasDeleted := f.undecided[r.key]
	delete(f.undecided, r.key)
	switch {
	case wasDeleted && r.outcome != succeeded:
		f.uncarried(r.path)
		return
	case r.outcome == gone:
		f.throttled.Warn("hook", "file is gone before its command succeeded", "file", r.path)
		return
	}
	if f.manifest != nil {
		if err := f.manifest.setExec(r.key, Done); err != nil {
			f.warnManifest(err)
		}
	}
	if wasDeleted { // the path may be another file's by now
		return
	}
	f.archive.setDone(r.path)
	if isGone { // the command has moved it away
		f.archive.markDeleted(r.path)
		f.unlist(r.path, true)
	}
	f.housekeep()
}
