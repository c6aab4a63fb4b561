package testserver

import (
	"context"
	"errors"
	"sync"
	"time"
)

// settleTime is how long connections may go on when the server has reached its limit: the publisher of the last byte
// still waits for a pong, and wants to close the connection itself.
const settleTime = time.Second

// Wait waits until Options.Conns or Options.Bytes is reached, Options.Timeout has passed, or ctx ends. Then the server
// accepts nothing new. Open connections may go on for a second, or for Options.Linger if ctx ended, and are closed with
// code 1001. Wait returns the verdict when everything has ended.
//
// The error is nil if a limit was reached, or if the timeout passed and there is no limit. With [ErrTimeout],
// [ErrClosed] or the cause of ctx's end, the report is right as far as it goes. With any other error the server itself
// failed, as with a full disk, and the report is worthless.
//
// Later calls return the same.
func (s *Server) Wait(ctx context.Context) (Report, error) {
	var timeout <-chan time.Time
	if s.timeout != nil {
		timeout = s.timeout.C
	}
	var err error
	linger := settleTime
	select {
	case <-s.limit:
	case <-s.broken:
	case <-s.closed:
		err = ErrClosed
	case <-timeout:
		if (s.options.Conns > 0 || s.options.Bytes > 0) && !isClosed(s.limit) {
			err = ErrTimeout
		}
	case <-ctx.Done():
		linger = s.options.Linger
		err = context.Cause(ctx)
	case <-s.ended:
	}
	s.end(linger, err)
	return s.report, s.endErr
}

// Close ends the server at once, without close frames, and returns when everything has ended. It may be called after
// Wait.
func (s *Server) Close() {
	s.closeOnce.Do(func() { close(s.closed) })
	s.end(0, ErrClosed)
}

// end ends the server, once, and returns when it has ended.
func (s *Server) end(linger time.Duration, why error) {
	s.endOnce.Do(func() {
		s.stopAccepting()
		s.closeConnections(linger)
		s.serving.Wait()
		if s.arrivals != nil {
			s.arrivals.close()
		}
		s.closeSaved()
		s.events.close()
		s.report = s.judge(errors.Is(why, ErrTimeout))
		s.endErr = why
		if s.err != nil {
			s.endErr = s.err
		}
		close(s.ended)
	})
	<-s.ended
}

func (s *Server) stopAccepting() {
	s.accepting.Lock()
	s.mu.Lock()
	s.ending = true
	close(s.stopping)
	s.mu.Unlock()
	s.accepting.Unlock()
	if s.timeout != nil {
		s.timeout.Stop()
	}
	s.http.Close() // this does not close the connections that have been upgraded
}

// closeConnections lets connections go on for as long as linger, then closes them.
func (s *Server) closeConnections(linger time.Duration) {
	allEnded := make(chan struct{})
	go func() {
		defer close(allEnded)
		s.running.Wait()
	}()
	s.awaitEnd(allEnded, linger)
	var closing sync.WaitGroup
	if !isClosed(s.closed) {
		for _, c := range s.openConnections() {
			closing.Go(c.goAway)
		}
		s.awaitEnd(allEnded, closeTimeout)
	}
	for _, c := range s.openConnections() {
		closing.Go(c.ws.CloseNow)
	}
	closing.Wait()
	<-allEnded
}

// awaitEnd returns when all connections have ended, after d, or when the server fails or is closed.
func (s *Server) awaitEnd(allEnded <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-allEnded:
	case <-timer.C:
	case <-s.closed:
	case <-s.broken:
	}
}

func (s *Server) openConnections() []*connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*connection
	for c := range s.open {
		all = append(all, c)
	}
	return all
}

// judge makes the report.
func (s *Server) judge(timedOut bool) Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Report{
		Started:      s.options.Start.UTC(),
		Passed:       !timedOut && s.err == nil,
		TimedOut:     timedOut,
		Connections:  make([]Connection, 0, len(s.past)),
		Expectations: make([]Verdict, 0, len(s.options.Expectations)),
		Refused:      s.refusals,
		Faults:       s.faults,
	}
	results := make([][]Result, len(s.options.Expectations))
	for id := 1; id <= s.count; id++ {
		p := s.past[id]
		r.Connections = append(r.Connections, p.result)
		for _, o := range p.observers {
			results[o.expectation] = append(results[o.expectation], Result{p.result, o.observer})
		}
	}
	for i, e := range s.options.Expectations {
		ok, detail := e.Judge(results[i])
		r.Expectations = append(r.Expectations, Verdict{e.Name(), e.Path(), ok, detail})
		r.Passed = r.Passed && ok
	}
	return r
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
