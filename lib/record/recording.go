package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

// Config says what is recorded, where, and how much of it is kept.
type Config struct {
	Template *Template
	Limits   Limits
	Keep     Retention
	// Sync is how often the open file is synced. At 0 the kernel decides when. A finished file is always synced.
	Sync     time.Duration
	Manifest string // path of a file of JSON Lines, one for each recorded file; "": none

	// Playlist is the path of an HLS playlist of the newest PlaylistSize files, or of all if that is 0; "": none.
	Playlist     string
	PlaylistSize int
	// Exec is a shell command to run for each finished file, which it finds in its environment; "": none. ExecOutput
	// gets its output. At the end of the recording it may run for as long as Linger.
	Exec        string
	ExecJobs    int           // how many commands run at once; 0: one
	ExecTimeout time.Duration // how long each may run; 0: any
	ExecOutput  *os.File

	In     Input
	Out    Output // gets a copy of the stream; may be nil
	Format stream.Format
	// EndWithReader ends the recording, as the end of the input would, when the reader of Out has gone.
	EndWithReader bool
	// Live, Buffer and MaxAge are those of stream.QueueOptions. With Live a failing disk does not end the recording.
	Live   bool
	Buffer int64
	MaxAge time.Duration
	// Linger bounds how long the input is read after a signal, and then how long what is held may take to be written.
	Linger time.Duration

	Ledger    *stream.Ledger
	Log       *slog.Logger
	Throttled Logger
}

// Input is the source of the stream.
type Input interface {
	io.ReadCloser
	SetReadDeadline(time.Time) error
}

// Output gets a copy of the stream.
type Output interface {
	io.WriteCloser
	SetWriteDeadline(time.Time) error
	// Gone is closed when the reader has gone away.
	Gone() <-chan struct{}
}

// Logger logs events that may repeat. Of messages with one key it may leave out all but the last.
type Logger interface {
	Warn(key, msg string, args ...any)
}

// ErrOutputGone says that the copy of the stream was cut short, because its reader went away or a write failed, and
// that nothing else failed. It has been logged.
var ErrOutputGone = errors.New("standard output is gone")

// Recording is one run of a recorder.
type Recording struct {
	config    Config
	writer    *writer
	finalizer *finalizer
	queue     *stream.Queue  // feeds writer
	copies    *stream.Queue  // feeds output; may be nil
	output    *stream.Output // may be nil
	reader    *stream.Reader
}

// startTimeout is how long, with live, the start waits for a disk before the stream is read without it.
const startTimeout = 250 * time.Millisecond

// New makes a recording and opens its accounts in the ledger. It fails if no file can be created. With live, Run waits
// for a disk that hangs.
func New(c Config) (*Recording, error) { return newRecording(c, osDisk{}) }

func newRecording(c Config, d disk) (*Recording, error) {
	c.Keep.SpareTodo = c.Exec != "" && c.Manifest != "" && c.Keep.Any()
	preparing := make(chan prepared, 1)
	go func() { preparing <- prepare(c, d) }()
	var timeout <-chan time.Time
	if c.Live {
		timeout = time.After(startTimeout)
	}
	var s prepared
	var late <-chan prepared
	select {
	case s = <-preparing:
	case <-timeout:
		c.Throttled.Warn("disk", "the disk does not answer; recording begins when it does")
		late = preparing
	}
	if s.err != nil {
		return nil, s.err
	}
	r := &Recording{config: c}
	r.reader = stream.NewReader(c.In, stream.ReaderOptions{Format: c.Format, Warn: r.warn})
	account := c.Ledger.Open(c.Template.String())
	r.queue = r.newQueue(account, stream.PassChange)
	if c.Out != nil {
		r.copies = r.newQueue(c.Ledger.Open("stdout"), stream.AnnounceChange)
		r.output = stream.NewOutput(r.copies, c.Out)
	}
	kept := newArchive(c.Keep, c.Template, d, c.Throttled)
	r.finalizer = &finalizer{
		template: c.Template, disk: d, queue: r.queue, account: account,
		manifest: s.manifest, archive: kept, playlist: s.playlist,
		log: c.Log, throttled: c.Throttled, live: c.Live,
		done: make(chan struct{}), ended: make(chan struct{}),
	}
	r.finalizer.background, r.finalizer.stop = context.WithCancel(context.Background())
	if c.Exec != "" {
		r.finalizer.hook = newHook(&c, kept)
	}
	r.writer = &writer{
		template: c.Template, limits: c.Limits, live: c.Live, hashed: r.finalizer.hook != nil || c.Manifest != "",
		disk: d, queue: r.queue, account: account, throttled: c.Throttled, archive: kept, preparing: late,
		syncer: syncer{every: c.Sync}, batcher: newBatcher(r.queue, c.Buffer, c.MaxAge),
		finalizer: r.finalizer,
	}
	return r, nil
}

// prepared is the result of prepare.
type prepared struct {
	manifest *manifest // may be nil
	playlist *playlist // may be nil
	err      error
}

// prepare opens the manifest and the playlist, and checks that a file can be created. A full disk is no error if
// retention can make room; with live, nor is a disk that has no room for manifest and playlist, which are then written
// later.
func prepare(c Config, d disk) (s prepared) {
	tolerable := func(err error) bool { return err == nil || isFull(err) && (c.Live || c.Keep.Any()) }
	if c.Manifest != "" {
		if s.manifest, s.err = openManifest(c.Manifest, c.Throttled); !tolerable(s.err) {
			return s
		}
	}
	if c.Playlist != "" {
		if s.playlist, s.err = openPlaylist(c.Playlist, c.PlaylistSize, c.Limits.RotateTime,
			c.Throttled); !tolerable(s.err) {
			return s
		}
	}
	if s.err = probe(d, c.Template); isFull(s.err) && c.Keep.Any() {
		s.err = nil
	}
	if s.err == nil && s.manifest != nil && c.Exec != "" {
		if s.err = s.manifest.claim(); tolerable(s.err) {
			s.err = nil
		}
	}
	return s
}

func (r *Recording) newQueue(a *stream.Account, onChange stream.ChangePolicy) *stream.Queue {
	return stream.NewQueue(stream.QueueOptions{
		Live: r.config.Live, Buffer: r.config.Buffer, MaxAge: r.config.MaxAge, Account: a,
		OnChange: onChange, Warn: r.warn,
	})
}

func (r *Recording) warn(message, hint string) { r.config.Log.Warn(message, "hint", hint) }

// probe creates and removes a file where the next recording will be. It fails if the name belongs to a folder or a
// device: a numbered name beside it would work, but is hardly what the user meant.
func probe(d disk, t *Template) error {
	now := time.Now()
	if info, err := os.Stat(t.Path(now)); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("record to %s: it is not a regular file", t.Path(now))
	}
	path, f, err := createTemp(d, t, &segment{path: t.Path(now)}, now, 0)
	if err != nil {
		return err
	}
	// Removed while it is open, and so locked: no other recorder can mistake it for the remains of a crash.
	return errors.Join(d.Remove(path), f.Close())
}

// Hangup makes the next keyframe begin a new file. It may be called at any time.
func (r *Recording) Hangup() { r.writer.hangup.Store(true) }
