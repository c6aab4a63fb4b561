package record

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// unsynced is a file that has its name, which the disk may still forget because the folder could not be synced. Another
// file may get the name then, so nothing may say that the file has it.
type unsynced struct {
	path    string
	info    fs.FileInfo
	segment *segment
}

// maxUnsynced bounds how many files wait to be indexed.
const maxUnsynced = 64

// postpone makes a file wait until its folder can be synced, to be indexed then.
func (f *finalizer) postpone(path string, s *segment) {
	info, err := os.Lstat(path)
	if err != nil || info.Size() != s.size {
		return // it is forgotten already
	}
	if len(f.unsynced) == maxUnsynced {
		f.throttled.Warn("unsynced", "file gets no line in the manifest: its folder could not be synced",
			"file", f.unsynced[0].path)
		f.unsynced = f.unsynced[1:]
	}
	f.unsynced = append(f.unsynced, unsynced{path, info, s})
}

// indexUnsynced indexes the files whose folders can be synced now.
func (f *finalizer) indexUnsynced() {
	waiting := f.unsynced
	f.unsynced = nil
	for _, u := range waiting {
		failed := f.syncDir(filepath.Dir(u.path))
		switch info, err := os.Lstat(u.path); {
		case errors.Is(err, fs.ErrNotExist), err == nil && !u.isSame(info):
			f.throttled.Warn("unsynced", "the disk has forgotten a file whose folder could not be synced", "file",
				u.path)
		case failed != nil || err != nil:
			f.unsynced = append(f.unsynced, u)
		default:
			if err := f.index(u.path, u.segment); err != nil {
				f.warnManifest(err)
			}
		}
	}
}

// isSame reports whether info is that of the file. The disk may have been mounted again, with other numbers of devices.
func (u *unsynced) isSame(info fs.FileInfo) bool {
	return info.Size() == u.info.Size() && info.ModTime().Equal(u.info.ModTime())
}
