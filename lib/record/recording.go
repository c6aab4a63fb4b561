package record

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

// Config says what is recorded, where, and how much of it.
type Config struct {
	Template *Template
	Limits   Limits
	Keep     Retention
	// Sync is how often what was written is made to last, apart from when a file is finished; 0: when the system does it.
	Sync     time.Duration
	Manifest string // a file of JSON Lines, one line per recorded file; "": none

	// Playlist is an HLS playlist of the files, the newest PlaylistSize of them; 0 is all. "": none.
	Playlist     string
	PlaylistSize int
	// Exec is run by the shell for each finished file, which it learns from its environment; "": nothing is. ExecOutput
	// gets what it says. At the end it has as long as Linger.
	Exec       string
	ExecOutput *os.File

	In     Input
	Out    Output // gets a copy of the stream; nil: nobody does
	Format stream.Format
	// Live, Buffer and MaxAge are those of stream.QueueOptions. Under Live a disk that fails does not end the recording.
	Live   bool
	Buffer int64
	MaxAge time.Duration
	// Linger is how long to read on after a signal, and how long to write what is held after that.
	Linger time.Duration

	Ledger    *stream.Ledger
	Log       *slog.Logger
	Throttled Logger
}

// Input is where the stream comes from.
type Input interface {
	io.ReadCloser
	SetReadDeadline(time.Time) error
}

// Output is where a copy of the stream goes.
type Output interface {
	io.WriteCloser
	SetWriteDeadline(time.Time) error
	// Gone is closed when nobody reads any more.
	Gone() <-chan struct{}
}

// Logger logs what may happen again and again. Of lines with one key it may leave out all but the last.
type Logger interface {
	Warn(key, msg string, args ...any)
}

// ErrOutputGone says that the copy of the stream did not get to its end, since nobody read it or it could not be
// written, and that nothing else went wrong. It has been logged.
var ErrOutputGone = errors.New("standard output is gone")

// Recording is one run of a recorder.
type Recording struct {
	config Config
	writer *writer
	queue  *stream.Queue // in front of writer
	copies *stream.Queue // in front of Out; nil without
	hook   *hook         // nil without
	reader *stream.Reader
}

// startPatience is how long, with live, the start waits for a disk that does not answer, before the stream is read without
// it.
const startPatience = 250 * time.Millisecond

// New makes a recording, after it has seen that files can be made; with live, a disk that hangs is waited for by Run. It
// opens the ledger's accounts.
func New(c Config) (*Recording, error) { return newRecording(c, osDisk{}) }

func newRecording(c Config, d disk) (*Recording, error) {
	started := make(chan start, 1)
	go func() { started <- begin(c, d) }()
	var patience <-chan time.Time
	if c.Live {
		patience = time.After(startPatience)
	}
	var s start
	var late <-chan start
	select {
	case s = <-started:
	case <-patience:
		c.Throttled.Warn("disk", "the disk does not answer; nothing is recorded until it does")
		late = started
	}
	if s.err != nil {
		return nil, s.err
	}
	r := &Recording{config: c, reader: stream.NewReader(c.In, stream.ReaderOptions{Format: c.Format})}
	account := c.Ledger.Open(c.Template.String())
	r.queue = r.newQueue(account, nil)
	if c.Out != nil {
		r.copies = r.newQueue(c.Ledger.Open("stdout"), stream.Direct(c.Out))
	}
	if c.Exec != "" {
		r.hook = &hook{command: c.Exec, output: c.ExecOutput, trouble: c.Throttled}
	}
	kept := newArchive(c.Keep, c.Template, d, c.Throttled)
	r.writer = &writer{
		template: c.Template, limits: c.Limits, live: c.Live, hashed: c.Manifest != "" || r.hook != nil,
		disk: d, queue: r.queue, account: account, trouble: c.Throttled, archive: kept, late: late,
		syncer: syncer{every: c.Sync},
		finisher: &finisher{
			template: c.Template, disk: d, queue: r.queue, account: account, manifest: s.manifest, archive: kept, playlist: s.playlist,
			hook: r.hook, log: c.Log, trouble: c.Throttled, live: c.Live,
		},
	}
	r.writer.gatherWithin(c.Buffer, c.MaxAge)
	return r, nil
}

// start is what the disk has to answer before anything is recorded.
type start struct {
	manifest *manifest // nil: none
	playlist *playlist // nil: none
	err      error
}

// begin opens the lists and sees that files can be made. A disk that is full is no reason not to start when retention will
// make room, nor with live one that has no room for the lists: they are written when it has.
func begin(c Config, d disk) (s start) {
	bearable := func(err error) bool { return err == nil || isFull(err) && (c.Live || c.Keep.any()) }
	if c.Manifest != "" {
		if s.manifest, s.err = openManifest(c.Manifest); !bearable(s.err) {
			return s
		}
	}
	if c.Playlist != "" {
		if s.playlist, s.err = openPlaylist(c.Playlist, c.PlaylistSize, c.Limits.RotateTime); !bearable(s.err) {
			return s
		}
	}
	if s.err = probe(d, c.Template); isFull(s.err) && c.Keep.any() {
		s.err = nil
	}
	return s
}

func (r *Recording) newQueue(a *stream.Account, direct func([]byte) int) *stream.Queue {
	return stream.NewQueue(stream.QueueOptions{
		Live: r.config.Live, Buffer: r.config.Buffer, MaxAge: r.config.MaxAge, Direct: direct, Account: a,
		Warn: func(message, hint string) { r.config.Log.Warn(message, "hint", hint) },
	})
}

// probe sees whether a file can be made where the next one is to be. Where there is a folder, or /dev/null, a number in the
// name would do, but is hardly what was meant.
func probe(d disk, t *Template) error {
	now := time.Now()
	if info, err := os.Stat(t.Path(now)); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("record to %s: it is not a regular file", t.Path(now))
	}
	path, f, err := createTemp(d, t, &segment{path: t.Path(now)}, now, 0)
	if err != nil {
		return err
	}
	// While it is open nobody takes it for what another recorder has left.
	return errors.Join(d.Remove(path), f.Close())
}

// Hangup ends the open file where the next group of pictures begins, and begins another there. It may be called at any
// time.
func (r *Recording) Hangup() { r.writer.hangup.Store(true) }
