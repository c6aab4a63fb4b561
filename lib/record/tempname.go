package record

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tempName is the name of an unfinished file. It holds all that is needed to recover the file after a crash.
type tempName struct {
	folder, base string // of the finished file
	id           string // Template.id
	start        time.Time
	raw          bool  // not MPEG-TS
	injected     int64 // bytes written in front of the stream's
}

const (
	tempPrefix = ".vw-record-"
	tempSuffix = ".partial"
)

func (n tempName) String() string {
	format := "ts"
	if n.raw {
		format = "raw"
	}
	return filepath.Join(n.folder, fmt.Sprintf("%s%s-%s-%016x-%s%d%s",
		tempPrefix, n.base, n.id, uint64(n.start.UnixNano()), format, n.injected, tempSuffix))
}

func parseTempName(path string) (tempName, bool) {
	folder, name := filepath.Split(path)
	rest, isTemp := strings.CutPrefix(name, tempPrefix)
	rest, isPartial := strings.CutSuffix(rest, tempSuffix)
	fields := strings.Split(rest, "-")
	if !isTemp || !isPartial || len(fields) < 4 {
		return tempName{}, false
	}
	last := len(fields) - 1
	n := tempName{folder: filepath.Clean(folder), id: fields[last-2], base: strings.Join(fields[:last-2], "-")}
	number, isTS := strings.CutPrefix(fields[last], "ts")
	if !isTS {
		number, n.raw = strings.CutPrefix(fields[last], "raw")
	}
	start, errStart := strconv.ParseUint(fields[last-1], 16, 64)
	injected, errInjected := strconv.ParseUint(number, 10, 31)
	n.start, n.injected = time.Unix(0, int64(start)).UTC(), int64(injected)
	return n, (isTS || n.raw) && errStart == nil && errInjected == nil && n.base != ""
}

func newTempName(t *Template, path string, start time.Time) tempName {
	return tempName{folder: filepath.Dir(path), base: filepath.Base(path), id: t.id, start: start}
}
