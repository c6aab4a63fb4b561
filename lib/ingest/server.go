package ingest

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/stream"
)

// abortGrace is how long connections may take to leave when the server must return at once.
const abortGrace = 300 * time.Millisecond

// errLinger: the rest was not delivered within Linger.
var errLinger = errors.New("delivering took longer than --linger")

// Server accepts publishers and writes their streams to one output. It is used once.
type Server struct {
	o             Options
	account       *stream.Account
	queue         *stream.Queue
	output        *stream.Output // of queue; made by Run
	conns         connections
	lingering     *lingering
	rate          rate
	frames        atomic.Int64
	keyframes     atomic.Int64
	pause         time.Duration // outputPause
	keepAlive     time.Duration
	headerTimeout time.Duration

	// abortCtx ends when the server must return at once; abort gives the cause.
	abortCtx  context.Context
	abort     context.CancelCauseFunc
	firstDone chan struct{} // closed when the first publisher has ended
	// acceptCtx ends, by stopAccepting, when no more publishers are accepted.
	acceptCtx     context.Context
	stopAccepting context.CancelFunc

	mu         sync.Mutex
	current    *publisher    // nil: no publisher
	publishers int           // how many there have been
	firstEnded bool          // firstDone is closed
	stopped    bool          // no more publishers are accepted
	refusals   map[int]int64 // by status

	// tails is what publishers have left at their end. The publisher that has claimed its turn, and after the last one
	// Run, may use it.
	tails []tail
}

// New returns a server that is not running.
func New(o Options) *Server {
	s := &Server{
		o: o, lingering: newLingering(resetDelay), firstDone: make(chan struct{}), pause: outputPause,
		keepAlive:     keepAlive,
		headerTimeout: headerTimeout, refusals: map[int]int64{},
	}
	s.abortCtx, s.abort = context.WithCancelCause(context.Background())
	s.acceptCtx, s.stopAccepting = context.WithCancel(context.Background())
	s.account = o.Ledger.Open("stdout")
	s.queue = stream.NewQueue(stream.QueueOptions{
		Live: o.Live, Buffer: o.Buffer, MaxAge: o.MaxAge, Account: s.account,
		OnChange: stream.AnnounceChange, Warn: s.warn,
	})
	s.conns = connections{perAddress: access.NewPerAddress(o.MaxPerAddress), all: map[*connection]struct{}{}}
	s.rate.since = time.Now()
	return s
}

// Run accepts publishers until soft ends, or with Once until the first has ended. Then it accepts no more, stops the
// one that publishes, and returns when everything that was read has been delivered, Linger has passed, or hard ends.
// With Once and without Live, delivering may take any time.
//
// It returns nil at such an end, also if something was dropped, which the ledger counts; ErrOutputGone; the cause of
// hard; or the error of the listener or the output. When it returns, none of its goroutines or connections is left.
func (s *Server) Run(soft, hard context.Context) error {
	ended := make(chan struct{})
	var monitoring, writing, accepting sync.WaitGroup
	s.output = s.newOutput()
	monitoring.Go(func() { s.monitor(soft, hard, ended) })
	writing.Go(s.write)
	if s.o.Tokens != nil {
		defer s.o.Tokens.Subscribe(s.checkToken)()
	}

	if s.o.Pull != nil {
		s.pull()
	}
	for _, ln := range s.o.Listeners {
		accepting.Go(func() { s.accept(ln) })
	}
	accepting.Wait()
	s.conns.running.Wait()
	s.lingering.wait()
	s.settleTails(false)
	s.queue.End()
	writing.Wait()
	s.queue.Abort(stream.Shutdown) // drops the rest, if it ended early
	close(ended)
	monitoring.Wait()
	s.lingering.end()

	switch err := context.Cause(s.abortCtx); {
	case errors.Is(err, errLinger):
		s.o.Log.Warn("gave up delivering", "after", s.o.Linger)
		return nil
	default:
		return err
	}
}

// newOutput returns what writes the queue to the output.
func (s *Server) newOutput() *stream.Output {
	var out io.Writer = s.o.Output
	if s.o.Live {
		out = &retryWriter{Writer: out, pause: s.pause, done: s.abortCtx.Done(), warn: s.o.Log.Warn}
	}
	return stream.NewOutput(s.queue, out)
}

func (s *Server) warn(message, hint string) { s.o.Log.Warn(message, "hint", hint) }

// write copies the queue to the output.
func (s *Server) write() {
	if err := s.output.Run(s.abortCtx); err != nil {
		s.abort(outputError(err))
	}
}

// monitor waits for what ends the server, and ends it.
func (s *Server) monitor(soft, hard context.Context, ended <-chan struct{}) {
	asked, first, gone := soft.Done(), s.firstDone, s.o.Output.Gone()
	if !s.o.Once {
		first = nil
	}
	var late <-chan time.Time
	for {
		select {
		case <-asked:
			asked = nil
			s.stop(errStopping)
			late = time.After(s.o.Linger)
		case <-first:
			first = nil
			s.stop(errStopping)
			if s.o.Live && late == nil {
				late = time.After(s.o.Linger)
			}
		case <-gone:
			s.abort(ErrOutputGone)
		case <-late:
			s.abort(errLinger)
		case <-hard.Done():
			s.abort(context.Cause(hard))
		case <-s.abortCtx.Done():
			s.stop(context.Cause(s.abortCtx))
			_ = s.o.Output.SetWriteDeadline(time.Unix(1, 0)) // writes to a regular file end by themselves
			s.lingering.end()
			select {
			case <-time.After(abortGrace): // for the responses
			case <-ended:
			}
			s.conns.closeAll()
			return
		case <-ended:
			return
		}
	}
}

// stop accepts no more publishers, and stops the one that publishes.
func (s *Server) stop(reason error) {
	s.mu.Lock()
	s.stopped = true
	current := s.current
	s.mu.Unlock()
	s.stopAccepting()
	for _, ln := range s.o.Listeners {
		_ = ln.Close()
	}
	s.conns.stop()
	if current != nil {
		current.stop(reason)
	}
}

func (s *Server) publishing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current != nil
}
