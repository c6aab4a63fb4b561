package record

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// Lines of the manifest that were lost are rebuilt from the files: one file at a time, because hashing needs the disk
// that is recorded to.

// rebuilt is a file without a line that has been read.
type rebuilt struct {
	file found
	s    *segment
	err  error
}

// describe reads a finished file. What only the run that wrote it knew is lost: why it ended, and how much of it was
// injected or dropped.
func describe(ctx context.Context, file found) (*segment, error) {
	opened, err := os.Open(file.path)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	if err := lockFinished(opened, file.path); err != nil {
		return nil, err // another recorder has just finished it and will add the line
	}
	s := &segment{temp: file.path, end: file.info.ModTime(), reason: Partial, length: -1, afterGap: true,
		hash: sha256.New()}
	gaps, err := s.count(contextReader{ctx, opened})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file.path, err)
	}
	s.injected, s.gaps = gaps.bytes, gaps.gaps
	s.size = file.info.Size() // with bytes that are not packets
	_, err = io.Copy(s.hash, contextReader{ctx, io.NewSectionReader(opened, 0, s.size)})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file.path, err)
	}
	e := s.entry()
	s.start = s.end.Add(-time.Duration(e.length()) * time.Second / mpegts.ClockRate)
	return s, nil
}

// contextReader fails when ctx ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// indexMissing adds a line for a finished file that got its name right before a crash.
func (f *finalizer) indexMissing(file found) error {
	l, err := f.manifest.load()
	if err != nil || l.files[file.relative] {
		return err
	}
	s, err := describe(f.background, file)
	if err != nil {
		return err
	}
	f.throttled.Warn("existing", "file added to the manifest; a crash had kept it out", "file", file.path)
	return f.index(file.path, s)
}

// startRebuild reads files without a line in the background. The results come from f.rebuilt.
func (f *finalizer) startRebuild(files []found) {
	if len(files) == 0 {
		return
	}
	results := make(chan rebuilt)
	f.rebuilt = results
	go func() {
		defer close(results)
		for _, file := range files {
			s, err := describe(f.background, file)
			select {
			case results <- rebuilt{file, s, err}:
			case <-f.background.Done():
				return
			}
		}
	}()
}

// minInserts is how many rebuilt lines, at least, are inserted at once: each time the manifest is rewritten.
const minInserts = 32

// addRebuilt takes a result of startRebuild; ok is false after the last.
func (f *finalizer) addRebuilt(r rebuilt, ok bool) {
	switch {
	case !ok:
		f.rebuilt = nil
		if f.rebuiltLines > 0 {
			f.log.Info("lines of the manifest rebuilt from the files", "lines", f.rebuiltLines)
			f.rebuiltLines = 0
		}
	case errors.Is(r.err, errInUse):
		f.leaveToOther(r.file.path)
	case errors.Is(r.err, fs.ErrNotExist), errors.Is(r.err, context.Canceled):
	case r.err != nil:
		f.throttled.Warn("rebuild", "line of the manifest not rebuilt", "file", r.file.path, "err", r.err)
	default:
		if _, err := os.Lstat(r.file.path); err != nil {
			break // retention has deleted it meanwhile
		}
		e := f.entry(r.file.path, r.s)
		f.manifest.inserts = append(f.manifest.inserts, insert{e, r.file.before})
		f.archive.setListed(r.file.path, e.SHA256, e.Exec)
		if e.Exec == Todo {
			f.hook.add(r.file.path, e, r.s.duration(&e))
		}
		f.rebuiltLines++
	}
	if n := len(f.manifest.inserts); n > 0 && (!ok || n >= max(minInserts, f.manifest.live/16)) {
		f.housekeep()
	}
}

// rebuildIfDamaged starts a rebuild when the manifest has lost lines to damage since it was loaded.
func (f *finalizer) rebuildIfDamaged() {
	if f.manifest == nil || !f.manifest.repaired || f.rebuilt != nil {
		return
	}
	f.manifest.repaired = false
	files, err := f.template.finished()
	if err != nil {
		f.throttled.Warn("existing", "earlier files not found", "err", err)
	}
	l, err := f.manifest.load()
	if err != nil {
		f.throttled.Warn("existing", "manifest not read", "err", err)
		return
	}
	f.startRebuild(unlisted(files, func(relative string) bool { return l.files[relative] }))
}
