package testserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// Close codes that the server sends (RFC 6455, 7.4).
const (
	codeGoingAway   = 1001
	codeProtocol    = 1002
	codeUnsupported = 1003
	codeNoStatus    = 1005 // never sent: the peer's close frame had no code
	codeAbnormal    = 1006 // never sent: there was no close frame
	codeTooBig      = 1009
)

const (
	// closePatience is how long the peer may take to answer a close frame.
	closePatience = time.Second
	endedReason   = "the test server has ended"
	textReason    = "only binary messages are taken"
)

// connection is one publisher. It has a goroutine that receives, and while there is something for the sinks another one
// that feeds them.
type connection struct {
	server *Server
	ws     peer
	result Connection // what is known; complete when run has returned

	backlog *backlog
	feeding sync.WaitGroup
	feeder  func()      // feed, made a func once: for each message it would be garbage
	told    atomic.Bool // the server has sent close code 1001

	// Of the receiving goroutine.
	intervals intervals
	sizes     sizes

	// Of the goroutine that feeds the sinks, while it runs.
	hash    hash.Hash // nil: the sinks have not been opened
	check   *check
	jitter  jitter
	file    *savedFile  // nil: not saved
	watches []*watching // of the expectations
}

// watching is an expectation's view of one connection.
type watching struct {
	expectation int // its index in Options
	watcher     Observer
}

// run receives until the connection has ended and all that came is with the sinks.
func (c *connection) run() {
	end := c.receive()
	cut := c.told.Load() || isClosed(c.server.closed) // from this side, wherever the stream was
	c.result.Ended = time.Now().UTC()
	c.ws.CloseNow()
	c.feeding.Wait()
	c.endSinks(cut)
	c.result.Close = end
	c.result.Intervals, c.result.Sizes = c.intervals.result(), c.sizes.result()
	c.result.Jitter = c.jitter.result()
	c.result.BitRate = c.intervals.bitRate(c.result.Bytes)
	c.result.Streams = c.check.Streams()
	c.result.SHA256 = hex.EncodeToString(c.hash.Sum(nil))
	c.result.TS, c.result.trouble = c.check.Report(), c.check.Problems()
}

// receive reads messages until the connection ends, and says how it did. Nothing here waits but for the peer and for
// room in the backlog.
func (c *connection) receive() Close {
	for {
		isText, message, err := c.ws.NextMessage(context.Background())
		if err != nil {
			return c.ending(err)
		}
		if isText {
			c.result.Text++
			ctx, cancel := context.WithTimeout(context.Background(), closePatience)
			defer cancel()
			_ = c.ws.Close(ctx, codeUnsupported, textReason)
			return Close{codeUnsupported, textReason}
		}
		if err := c.message(message); err != nil {
			return c.ending(err)
		}
	}
}

func (c *connection) message(r io.Reader) error {
	var at time.Time // when the last byte was read
	var size int64
	for {
		room := c.backlog.reserve()
		n, err := r.Read(room)
		if n > 0 || at.IsZero() {
			at = time.Now()
		}
		if err != nil && err != io.EOF && !errors.Is(err, wsconn.ErrTooBig) {
			n = 0 // the part of a frame that a broken connection left is still masked
		}
		if c.backlog.commit(n, at) {
			c.feeding.Add(1)
			go c.feeder()
		}
		size += int64(n)
		c.result.Bytes += int64(n)
		c.server.received(int64(n))
		if err == io.EOF {
			break
		}
		if err != nil {
			c.result.Torn = size
			return err
		}
	}
	c.result.Messages++
	c.sizes.add(size)
	if c.intervals.add(at) {
		c.result.late = c.result.Messages
	}
	c.server.arrived(arrival{connection: c.result.ID, message: c.result.Messages, at: at, bytes: size})
	return nil
}

// ending makes of why reading failed how the connection ended.
func (c *connection) ending(err error) Close {
	var frame *wsconn.CloseError
	var network *net.OpError
	var own *ownClose
	answered := errors.As(err, &frame)
	switch told := c.told.Load(); {
	case errors.As(err, &own):
		return Close{own.code, own.reason}
	case told && (!answered || frame.Code == codeNoStatus): // an answer need not repeat the code
		return Close{codeGoingAway, endedReason}
	case answered && !utf8.ValidString(frame.Reason): // RFC 6455, 5.5.1; the library lets it pass
		return Close{codeProtocol, "a close frame whose reason is no UTF-8"}
	case answered:
		return Close{frame.Code, frame.Reason}
	case errors.Is(err, wsconn.ErrTooBig):
		return Close{codeTooBig, err.Error()}
	case errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return Close{codeAbnormal, ""}
	}
	return Close{codeProtocol, err.Error()}
}

// goAway closes the connection from the server's side: the peer is told, and what it has sent until it answers is
// still received. It does not wait for the answer.
func (c *connection) goAway() {
	c.told.Store(true)
	c.ws.SendClose(codeGoingAway, endedReason) // receive says how it ended
}

// feed hands what has come to the sinks.
func (c *connection) feed() {
	defer c.feeding.Done()
	c.openSinks()
	for p, at := c.backlog.next(); p != nil; p, at = c.backlog.next() {
		c.hash.Write(p)
		c.jitter.now = at
		c.check.Write(p)
		for _, w := range c.watches {
			w.watcher.Write(p)
		}
		if c.file != nil {
			c.file.put(p)
		}
		c.backlog.done(len(p))
	}
}

// endSinks tells the sinks that nothing more will come, and whether that is the server's doing.
func (c *connection) endSinks(cut bool) {
	c.openSinks()
	c.check.End(cut)
	for _, w := range c.watches {
		w.watcher.End()
	}
	if c.file != nil {
		c.file.close()
	}
}

func (c *connection) openSinks() {
	if c.hash != nil {
		return
	}
	c.hash = sha256.New()
	c.check = &check{Checker: mpegts.NewChecker()}
	c.check.OnPCR = c.jitter.pcr
	if d := c.server.options.MaxPCRInterval; d > 0 {
		c.check.MaxPCRInterval = d
	}
	for i, e := range c.server.options.Expectations {
		if w := e.Watch(c.result.Path); w != nil {
			c.watches = append(c.watches, &watching{i, w})
		}
	}
	if c.server.saved != nil {
		c.file = c.server.saved.create(c.result.ID, c.result.Path)
	}
}
