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
	// headerTimeout is how long a client may take for its TLS handshake and again for its header.
	headerTimeout = 10 * time.Second
	// maxHeader is how long a header may be, in bytes.
	maxHeader = 64 << 10
)

// errLinger says that delivering took too long at the end.
var errLinger = errors.New("delivering took longer than --linger")

// Server takes publishers and writes their streams to one output. It is used once.
type Server struct {
	o       Options
	guard   guard
	account *stream.Account
	queue   *stream.Queue
	http    http.Server
	conns   connections
	rate    rate
	pause   time.Duration // outputPause

	// over ends when nothing must be waited for any more; finish says why.
	over   context.Context
	finish context.CancelCauseFunc
	first  chan struct{} // closed when the first publisher has ended
	// taking ends, by takeNoMore, when no publisher is taken any more.
	taking     context.Context
	takeNoMore context.CancelFunc

	mu         sync.Mutex
	current    *publisher // nil: nobody publishes
	publishers int        // how many there have been
	served     bool       // first is closed
	stopped    bool       // no publisher is taken any more
}

// New returns a server that has not begun.
func New(o Options) *Server {
	s := &Server{o: o, guard: newGuard(o), first: make(chan struct{}), pause: outputPause}
	s.over, s.finish = context.WithCancelCause(context.Background())
	s.taking, s.takeNoMore = context.WithCancel(context.Background())
	s.account = o.Ledger.Open("stdout")
	s.queue = stream.NewQueue(stream.QueueOptions{
		Live: o.Live, Buffer: o.Buffer, MaxAge: o.MaxAge, Direct: stream.Direct(o.Output), Account: s.account,
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

// Run takes publishers until soft ends, or with Once until the first has ended. Then it takes no more, cuts the one that
// publishes, and returns when everything that was read has been delivered: within Linger, or before hard ends. With Once
// and without Live, delivering may take any time.
//
// It returns nil when it ended as it should, also if something had to be dropped, which the ledger tells; ErrOutputGone;
// or what ended hard, or made the listener or the output fail. When it returns, nothing of it is left.
func (s *Server) Run(soft, hard context.Context) error {
	ended := make(chan struct{})
	var watching, writing sync.WaitGroup
	watching.Go(func() { s.watch(soft, hard, ended) })
	writing.Go(s.write)

	if s.o.Pull != nil {
		s.pull()
	} else if err := s.http.Serve(s.o.Listener); !errors.Is(err, http.ErrServerClosed) {
		s.finish(err)
	}
	s.conns.running.Wait()
	s.queue.End()
	writing.Wait()
	s.queue.Abort(stream.Shutdown) // what is left, if it ended early
	close(ended)
	watching.Wait()

	switch err := context.Cause(s.over); {
	case errors.Is(err, errLinger):
		s.o.Log.Warn("gave up delivering", "after", s.o.Linger)
		return nil
	default:
		return err
	}
}

// write writes what publishers sent.
func (s *Server) write() {
	var out io.Writer = s.o.Output
	if s.o.Live {
		out = &patientOutput{Writer: out, pause: s.pause, over: s.over.Done(), warn: s.o.Log.Warn}
	}
	if err := stream.Copy(s.over, s.queue, out); err != nil {
		s.finish(outputError(err))
	}
}

// watch waits for whatever ends the server, and ends it.
func (s *Server) watch(soft, hard context.Context, ended <-chan struct{}) {
	asked, first, gone := soft.Done(), s.first, s.o.Output.Gone()
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
			s.finish(ErrOutputGone)
		case <-late:
			s.finish(errLinger)
		case <-hard.Done():
			s.finish(context.Cause(hard))
		case <-s.over.Done():
			s.stop(context.Cause(s.over))
			_ = s.o.Output.SetWriteDeadline(time.Unix(1, 0)) // a regular file: its writes end by themselves
			return
		case <-ended:
			return
		}
	}
}

// stop takes no more publishers, and cuts the one that publishes.
func (s *Server) stop(reason error) {
	s.mu.Lock()
	s.stopped = true
	current := s.current
	s.mu.Unlock()
	s.takeNoMore()
	_ = s.http.Close() // those that are publishing are not the server's any more
	if current != nil {
		current.cut(reason)
	}
}

func (s *Server) publishing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current != nil
}

// httpLog takes the complaints of net/http. A panic is a fault of this package; the rest are its clients'.
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
