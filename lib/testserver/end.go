package testserver

import (
	"context"
	"errors"
	"sync"
	"time"
)

// settleTime is how long connections may go on when the server has reached its end: whoever has just sent the last byte
// still waits for a pong, and wants to close by itself.
const settleTime = time.Second

// Wait waits until Options.Conns or Options.Bytes is reached, until Options.Timeout is over, or until ctx ends. Then it
// takes no new connection; those that are open may go on for a second, or when it was ctx that ended for
// Options.Linger, and are closed with code 1001. Wait returns when everything has ended, with the verdict.
//
// The error is nil when a limit was reached, or without limits when the timeout was over; ErrTimeout; the cause of
// ctx's end; ErrClosed. With these the report is right as far as it goes. With any other error something failed on this
// side (the disk), and the report is not to be believed.
//
// Later calls return the same.
func (s *Server) Wait(ctx context.Context) (Report, error) {
	var timeout <-chan time.Time
	if s.timeout != nil {
		timeout = s.timeout.C
	}
	var err error
	patience := settleTime
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
		patience = s.options.Linger
		err = context.Cause(ctx)
	case <-s.ended:
	}
	s.end(patience, err)
	return s.report, s.why
}

// Close ends the server at once, without the courtesies of Wait, and returns when everything has ended. It does no harm
// after Wait.
func (s *Server) Close() {
	s.toClose.Do(func() { close(s.closed) })
	s.end(0, ErrClosed)
}

// end ends the server, once, and returns when it has ended.
func (s *Server) end(patience time.Duration, why error) {
	s.finish.Do(func() {
		s.stopAccepting()
		s.closeConnections(patience)
		s.serving.Wait()
		if s.arrivals != nil {
			s.arrivals.close()
		}
		s.closeSaved()
		s.events.close()
		s.report = s.judge(errors.Is(why, ErrTimeout))
		s.why = why
		if s.err != nil {
			s.why = s.err
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
	s.http.Close() // not the connections that have been upgraded
}

// closeConnections lets connections end by themselves for as long as patience, then closes them.
func (s *Server) closeConnections(patience time.Duration) {
	none := make(chan struct{})
	go func() {
		defer close(none)
		s.running.Wait()
	}()
	s.wait(none, patience)
	var closing sync.WaitGroup
	if !isClosed(s.closed) {
		for _, c := range s.opened() {
			closing.Go(c.goAway)
		}
		s.wait(none, closePatience)
	}
	for _, c := range s.opened() {
		closing.Go(c.ws.CloseNow)
	}
	closing.Wait()
	<-none
}

// wait returns when all connections have ended, after a time, or when there is no sense in waiting.
func (s *Server) wait(none <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-none:
	case <-timer.C:
	case <-s.closed:
	case <-s.broken:
	}
}

func (s *Server) opened() []*connection {
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
	seen := make([][]Result, len(s.options.Expectations))
	for id := 1; id <= s.count; id++ {
		p := s.past[id]
		r.Connections = append(r.Connections, p.result)
		for _, w := range p.watches {
			seen[w.expectation] = append(seen[w.expectation], Result{p.result, w.watcher})
		}
	}
	for i, e := range s.options.Expectations {
		ok, detail := e.Judge(seen[i])
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
