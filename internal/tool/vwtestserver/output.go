package vwtestserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/timdrysdale/vw/lib/atomicfile"
	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/testserver"
)

// The lines of standard output.
type (
	listeningLine struct {
		Event string `json:"event"`
		URL   string `json:"url"`
	}
	connectedLine struct {
		Event string `json:"event"`
		testserver.Connected
	}
	closedLine struct {
		Event string `json:"event"`
		testserver.Connection
	}
	reportLine struct {
		Event string `json:"event"`
		testserver.Report
	}
)

// jsonLines writes JSON Lines.
type jsonLines struct {
	w      io.Writer
	failed chan struct{} // closed when err has been set

	mu  sync.Mutex
	err error
}

func newJSONLines(w io.Writer) *jsonLines { return &jsonLines{w: w, failed: make(chan struct{})} }

// print writes one line, in one write. After an error it only returns that error.
func (l *jsonLines) print(v any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	line, err := encode(v)
	if err == nil {
		_, err = l.w.Write(line)
	}
	if errors.Is(err, syscall.EPIPE) {
		err = cli.WithStatus(nil, cli.ExitFailed) // as for any tool in a pipe, no message
	}
	if err != nil {
		l.err = err
		close(l.failed)
	}
	return err
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// writeReport writes the report, unless an error makes it worthless, and returns the error with the exit status.
func writeReport(config config, r testserver.Report, err error, out *jsonLines) error {
	var signalled cli.Signalled
	timedOut := errors.Is(err, testserver.ErrTimeout)
	if err != nil && !timedOut && !errors.As(err, &signalled) {
		return err
	}
	line := reportLine{"report", r}
	if config.report != "" {
		data, err := encode(line)
		if err != nil {
			return err
		}
		if err := writeFile(config.report, data); err != nil {
			return err
		}
	}
	if config.junit != "" {
		data, err := r.JUnit()
		if err != nil {
			return err
		}
		if err := writeFile(config.junit, data); err != nil {
			return err
		}
	}
	if err := out.print(line); err != nil {
		return err
	}

	var all []error
	for _, v := range r.Expectations {
		if !v.OK {
			// An error is one line: the bytes that are shown below the detail become errors of their own.
			for line := range strings.SplitSeq(fmt.Sprintf("expectation %s failed: %s", v.Name, v.Detail), "\n") {
				all = append(all, cli.WithStatus(errors.New(line), cli.ExitExpectation))
			}
		}
	}
	if timedOut {
		all = append(all, cli.WithStatus(errors.New(timeoutText(config.server, r)), cli.ExitTimeout))
	}
	return errors.Join(all...)
}

// timeoutText says what had not been reached at the timeout.
func timeoutText(o testserver.Options, r testserver.Report) string {
	text := fmt.Sprintf("timed out after %v:", o.Timeout)
	if o.Conns > 0 {
		text += fmt.Sprintf(" waited for %d connections to end, %d came;", o.Conns, len(r.Connections))
	}
	if o.Bytes > 0 {
		var n int64
		for _, c := range r.Connections {
			n += c.Bytes
		}
		text += fmt.Sprintf(" waited for %d bytes, %d came;", o.Bytes, n)
	}
	return text[:len(text)-1]
}

// removeOld removes an earlier run's file, so that a script that finds the file has this run's. It also checks that the
// folder exists.
func removeOld(what, path string) error {
	path, err := atomicfile.Resolve(path)
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the old %s: %w", what, err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	} else if !info.IsDir() {
		return fmt.Errorf("%s: %s is not a folder", what, filepath.Dir(path))
	}
	return nil
}

// writeFile writes a file atomically.
func writeFile(path string, data []byte) error {
	path, err := atomicfile.Resolve(path)
	if err == nil {
		err = atomicfile.Write(path, data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
