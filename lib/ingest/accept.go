package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/timdrysdale/vw/lib/access"
)

const (
	// headerTimeout limits a client's TLS handshake, and again its header.
	headerTimeout = 10 * time.Second
	// acceptPause is the longest time between two tries to accept, when that fails for lack of descriptors or memory.
	acceptPause = time.Second
)

// accept accepts connections until the server stops.
func (s *Server) accept(ln net.Listener) {
	pause := 5 * time.Millisecond
	for {
		raw, err := ln.Accept()
		switch {
		case s.acceptCtx.Err() != nil:
			if err == nil {
				_ = raw.Close()
			}
			return
		case err == nil:
			pause = 5 * time.Millisecond
			s.open(raw)
			runtime.Gosched() // answer it before accepting more, or a crowd takes all descriptors
		case passes(err):
			s.o.Log.Warn("connection not accepted", "err", err)
			select {
			case <-time.After(pause):
			case <-s.acceptCtx.Done():
			}
			pause = min(2*pause, acceptPause)
		default:
			s.abort(err)
			return
		}
	}
}

// passes reports whether an error of accept says nothing of the listener: the client has gone, or something is short.
func passes(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// open serves a connection in a goroutine of its own, or closes it if there are too many.
func (s *Server) open(raw net.Conn) {
	c := &connection{Conn: raw, raw: raw, remote: remoteName(raw)}
	c.addr, c.limited = s.o.Proxies.Peer(raw.RemoteAddr())
	evicted, ok := s.conns.add(c)
	if evicted != nil {
		s.o.Log.Warn("connection closed: too many are open",
			"limit", maxWaiting, "addr", access.AddrName(evicted.addr), "open", evicted.open)
		_ = evicted.conn.raw.Close()
	}
	if !ok {
		_ = raw.Close()
		if s.acceptCtx.Err() == nil {
			s.refused(c, 0, access.TooMany)
		}
		return
	}
	go s.serve(c)
}

func remoteName(conn net.Conn) string {
	if addr := conn.RemoteAddr().String(); addr != "" && addr != "@" {
		return addr
	}
	return "unix"
}

// serve serves a connection.
func (s *Server) serve(c *connection) {
	defer s.conns.remove(c)
	defer func() {
		if v := recover(); v != nil {
			s.o.Log.Error("a request was ended by a fault in this program", "err", v, "stack", string(debug.Stack()))
		}
		if !c.handedOver {
			_ = c.raw.Close()
		}
	}()
	_ = c.raw.SetDeadline(time.Now().Add(s.headerTimeout))
	if s.o.TLS != nil && !s.handshake(c) {
		return
	}
	_ = c.raw.SetDeadline(time.Now().Add(s.headerTimeout))
	r, rest, err := readHeader(c)
	if err != nil {
		s.noHeader(c, err)
		return
	}
	s.conns.set(c, answering)
	_ = c.raw.SetDeadline(time.Time{})
	s.route(c, r, rest)
}

// handshake makes TLS over the connection, and reports whether it could.
func (s *Server) handshake(c *connection) bool {
	conn := tls.Server(c.raw, s.o.TLS)
	err := conn.HandshakeContext(context.Background())
	if err == nil {
		c.Conn = conn
		return true
	}
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &plain) && plain.Conn != nil && isHTTP(plain.RecordHeader[:]):
		s.refuse(c, usesTLS)
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.refused(c, 0, access.SlowRequest)
	case !disconnected(err):
		s.refused(c, 0, access.BadCert)
	}
	return false
}

// isHTTP reports whether the first five bytes of a TLS connection are those of a request without TLS.
func isHTTP(first []byte) bool {
	switch string(first) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// disconnected reports whether the client has gone, or was closed.
func disconnected(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET)
}

// noHeader answers a client whose header did not come.
func (s *Server) noHeader(c *connection, err error) {
	switch {
	case errors.Is(err, errHeaderTooLong):
		s.refuse(c, headerTooLong)
	case errors.Is(err, errBadHeader):
		s.refuse(c, badHeader)
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.refuse(c, slowHeader)
	}
}

// refused counts and logs that a client was refused. status is that of the response, 0 if there was none.
func (s *Server) refused(c *connection, status int, reason access.Reason) {
	s.mu.Lock()
	s.refusals[status]++
	s.mu.Unlock()
	s.o.Refusals.Refused(c.addr, reason)
}
