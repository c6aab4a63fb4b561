package record

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// Entry is one line of the manifest. It describes one file.
type Entry struct {
	File  string    `json:"file"` // relative to the template's folder
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	// PTSStart and PTSEnd are the lowest and the highest PTS, in units of 1/90000 s; null if the stream has none.
	PTSStart         *uint64 `json:"pts_start"`
	PTSEnd           *uint64 `json:"pts_end"`
	Bytes            int64   `json:"bytes"`
	Packets          int64   `json:"packets"`
	Frames           int64   `json:"frames"`
	Keyframes        int64   `json:"keyframes"`
	StartsAtKeyframe bool    `json:"starts_at_keyframe"`
	SHA256           string  `json:"sha256"`
	Reason           Reason  `json:"reason"`
	Injected         int64   `json:"injected"`
	Dropped          int64   `json:"dropped"`
	Gaps             int64   `json:"gaps"`
	// Exec is what became of the command of --exec, once compaction has taken in the lines that said so.
	Exec ExecState `json:"exec,omitempty"`
}

// ExecState says what became of the command of --exec for a file.
type ExecState string

const (
	Todo ExecState = "todo" // it has not succeeded yet
	Done ExecState = "done" // it has ended with status 0
	Lost ExecState = "lost" // the file had to be deleted before
)

// execLine is a line of the manifest that says what became of the command for a file. The hash distinguishes the file
// from others that had its name.
type execLine struct {
	File   string    `json:"file"`
	SHA256 string    `json:"sha256"`
	Exec   ExecState `json:"exec"`
}

// fileKey identifies a recorded file among all that had its name.
type fileKey struct{ file, sha256 string }

func (e *Entry) key() fileKey { return fileKey{e.File, e.SHA256} }

// isExecLine reports whether e was read from an execLine.
func (e *Entry) isExecLine() bool { return e.Exec != "" && e.Reason == "" && e.End.IsZero() }

// parseLine parses a line of the manifest, with or without its newline.
func parseLine(line []byte) (e Entry, ok bool) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	// Unmarshal accepts other objects, but they have no file.
	ok = bytes.HasPrefix(line, []byte(lineStart)) && json.Unmarshal(line, &e) == nil && e.File != ""
	return e, ok
}

// lineStart is how each line of a manifest begins.
const lineStart = `{"file":`

// length returns the length of the file by its timestamps, in units of 1/90000 s. It assumes that the last frame is as
// long as the average of the others.
func (e *Entry) length() int64 {
	if e.PTSStart == nil || e.PTSEnd == nil || e.Frames < 2 {
		return 0
	}
	return max(mpegts.ClockDiff(*e.PTSEnd, *e.PTSStart), 0) * e.Frames / (e.Frames - 1)
}

// Reason says why a file ended.
type Reason string

// The reasons for which a file ends. Size, Time and Frames are the limits of rotation, Stop is a limit of the whole
// recording, Anew is another stream or a jump of its clock. Partial is a crash, or says that the line was rebuilt from
// the file.
const (
	Size    Reason = "size"
	Time    Reason = "time"
	Frames  Reason = "frames"
	Stop    Reason = "stop"
	Hangup  Reason = "hangup"
	Anew    Reason = "change"
	End     Reason = "end"
	Signal  Reason = "signal"
	Partial Reason = "partial"
	Error   Reason = "error"
)
