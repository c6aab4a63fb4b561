package record

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// TestSyncEvery: the open file is synced at intervals, and an error of such a sync is not lost.
func TestSyncEvery(t *testing.T) {
	for _, tc := range []struct {
		name       string
		fail, live bool
	}{{"works", false, false}, {"fails", true, false}, {"fails live", true, true}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := tsgen.New(tsgen.Options{GOP: 5})
				d := &faultyDisk{op: "syncdata", first: 1, last: 1, err: errFault}
				if !tc.fail {
					d.first, d.last = 0, 0
				}
				var tr *trial
				n, after := 0, 0
				tr = newTrial(t, readerFunc(func(p []byte) (int, error) {
					n++
					d.mu.Lock()
					calls := d.calls
					d.mu.Unlock()
					if calls >= 3 && (!tc.fail || tr.counts().Dropped.Lost > 0) {
						after++
					}
					if after > 20 || n > 1000 {
						return 0, fs.ErrClosed
					}
					time.Sleep(5 * time.Millisecond)
					return copy(p, g.Frame(nil)), nil
				}), Limits{})
				tr.disk, tr.config.Live, tr.config.Sync = d, tc.live, 20*time.Millisecond
				err := tr.run()
				if isOurs := errors.Is(err, errFault); isOurs != (tc.fail && !tc.live) {
					t.Errorf("error %v", err)
				}
				if d.calls < 1 || n > 1000 && !tc.fail {
					t.Errorf("%d syncs, %d frames", d.calls, n)
				}
				c := tr.counts()
				if (c.Dropped.Lost > 0) != tc.fail || tc.live && c.Confirmed == 0 {
					t.Errorf("%+v", c)
				}
				if tc.live && !strings.Contains(tr.log.String(), "recording interrupted") {
					t.Errorf("said %s", tr.log)
				}
			})
		})
	}
}

// TestSyncOfFinishedFile: an error of an earlier sync fails the final one.
func TestSyncOfFinishedFile(t *testing.T) {
	s := &segment{path: "x", file: &faultyFile{nullFile{&bytes.Buffer{}},
		&faultyDisk{op: "syncdata", first: 1, last: 1, err: errFault}}}
	s.syncData()
	if err := s.sync(); !errors.Is(err, errFault) {
		t.Errorf("error %v", err)
	}
	if err := s.check(); !errors.Is(err, errFault) {
		t.Errorf("error %v", err)
	}
}
