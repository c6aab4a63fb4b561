package vwpush

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/push"
)

// urlFile is the file of --to-file. It is read at the start, on SIGHUP, and before each dial: a destination that cannot
// be reached may be one that has moved.
type urlFile struct {
	name   string
	log    *cli.ThrottledLogger        // set before pusher
	pusher atomic.Pointer[push.Pusher] // nil before it runs

	mu   sync.Mutex
	last string // the content that was taken or refused last
}

// urls reads the file for the first time.
func (f *urlFile) urls() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, err := os.ReadFile(f.name)
	if err != nil {
		return nil, fmt.Errorf("read destinations: %w", err)
	}
	f.last = string(b)
	return splitURLs(f.last), nil
}

// hangup reloads the file on SIGHUP.
func (f *urlFile) hangup() { f.reload(true) }

// beforeDial takes over what has changed in the file. A file that cannot be read is reported on SIGHUP only.
func (f *urlFile) beforeDial() { f.reload(false) }

// reload changes the destinations to those that the file has now. A bad file changes nothing.
func (f *urlFile) reload(asked bool) {
	pusher := f.pusher.Load()
	if pusher == nil {
		return // the first dial reads the file again
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	text, err := f.readAgain(asked)
	if !asked && (err != nil || text == f.last) {
		return
	}
	if err == nil {
		f.last = text
		err = pusher.SetURLs(splitURLs(text))
	}
	if err != nil {
		f.log.Error("to-file", "the destinations stay as they are", "file", f.name, "err", err)
	}
}

// settleTime is how old the file must be before a dial takes it over. One that is edited in place may be half written.
const settleTime = time.Second

var errUnsettled = errors.New("the file is being written")

// readAgain reads the file once more. A pipe gives what it has only once, and opening it again may take for ever.
func (f *urlFile) readAgain(asked bool) (string, error) {
	info, err := os.Stat(f.name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("only a regular file can be read again")
	}
	if age := time.Since(info.ModTime()); !asked && age >= 0 && age < settleTime {
		return "", errUnsettled
	}
	b, err := os.ReadFile(f.name)
	return string(b), err
}

// byteOrderMark is what some editors put in front of a file.
const byteOrderMark = "\ufeff"

// splitURLs returns the URLs of a file: one a line. It skips empty lines and lines that begin with #.
func splitURLs(text string) []string {
	var urls []string
	for line := range strings.Lines(strings.TrimPrefix(text, byteOrderMark)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			urls = append(urls, line)
		}
	}
	return urls
}
