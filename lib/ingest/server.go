package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

const (
	// headerTimeout limits a client's TLS handshake, and again its header.
	headerTimeout = 10 * time.Second
	// maxHeader is the longest header, in bytes.
	maxHeader = 64 << 10
)

// errLinger: the rest was not delivered within Linger.
var errLinger = errors.New("delivering took longer than --linger")

// Server accepts publishers and writes their streams to one output. It is used once.
type Server struct {
	o          Options
	authorizer authorizer
	account    *stream.Account
	queue      *stream.Queue
	output     *stream.Output // of queue; made by Run
	http       http.Server
	conns      connections
	rate       rate
	pause      time.Duration // outputPause

	// abortCtx ends when the server must return at once; abort gives the cause.
	abortCtx  context.Context
	abort     context.CancelCauseFunc
	firstDone chan struct{} // closed when the first publisher has ended
	// acceptCtx ends, by stopAccepting, when no more publishers are accepted.
	acceptCtx     context.Context
	stopAccepting context.CancelFunc

	mu         sync.Mutex
	current    *publisher // nil: nobody publishes
	publishers int        // how many there have been
	firstEnded bool       // firstDone is closed
	stopped    bool       // no more publishers are accepted
}

// New returns a server that is not running.
func New(o Options) *Server {
	s := &Server{o: o, authorizer: newAuthorizer(o), firstDone: make(chan struct{}), pause: outputPause}
	s.abortCtx, s.abort = context.WithCancelCause(context.Background())
	s.acceptCtx, s.stopAccepting = context.WithCancel(context.Background())
	s.account = o.Ledger.Open("stdout")
	s.queue = stream.NewQueue(stream.QueueOptions{
		Live: o.Live, Buffer: o.Buffer, MaxAge: o.MaxAge, Account: s.account,
		Warn: func(message, hint string) { o.Log.Warn(message, "hint", hint) },
	})
	s.conns.warn = o.Log.Warn
	http1 := new(http.Protocols)
	http1.SetHTTP1(true) // a connection of HTTP/2 cannot be taken over
	s.http = http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            headerTimeout,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		Protocols:                    http1,
		TLSNextProto:                 map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ConnState:                    s.conns.changed,
		ErrorLog:                     log.New(httpLog{s}, "", 0),
	}
	s.http.SetKeepAlivesEnabled(false)
	s.rate.since = time.Now()
	return s
}

// Run accepts publishers until soft ends, or with Once until the first has ended. Then it accepts no more, stops the one
// that publishes, and returns when everything that was read has been delivered, Linger has passed, or hard ends. With
// Once and without Live, delivering may take any time.
//
// It returns nil at such an end, also if something was dropped, which the ledger counts; ErrOutputGone; the cause of hard;
// or the error of the listener or the output. When it returns, none of its goroutines or connections is left.
func (s *Server) Run(soft, hard context.Context) error {
	ended := make(chan struct{})
	var watching, writing sync.WaitGroup
	s.output = s.newOutput()
	watching.Go(func() { s.monitor(soft, hard, ended) })
	writing.Go(s.write)

	if s.o.Pull != nil {
		s.pull()
	} else if err := s.http.Serve(s.o.Listener); !errors.Is(err, http.ErrServerClosed) {
		s.abort(err)
	}
	s.conns.running.Wait()
	s.queue.End()
	writing.Wait()
	s.queue.Abort(stream.Shutdown) // drops the rest, if it ended early
	close(ended)
	watching.Wait()

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
	_ = s.http.Close() // hijacked connections are not the http.Server's
	if current != nil {
		current.stop(reason)
	}
}

func (s *Server) publishing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current != nil
}

// httpLog logs the errors of net/http. A panic is a bug in this package; clients cause the rest.
type httpLog struct{ s *Server }

func (l httpLog) Write(p []byte) (int, error) {
	text := strings.TrimSpace(string(p))
	if strings.HasPrefix(text, "http: panic") {
		l.s.o.Log.Error("a request was ended by a fault in this program", "err", text)
	} else {
		l.s.o.Log.Warn("connection failed", "err", text)
	}
	return len(p), nil
}
