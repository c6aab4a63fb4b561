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

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/wsconn"
)

const (
	closeTimeout = time.Second // for the peer's answer to a close frame

	reasonGoingAway = "the test server has ended"
	reasonText      = "only binary messages are taken"
)

// connection is one publisher. One goroutine receives; while there is something to process, another one processes it.
type connection struct {
	server *Server
	ws     websocketConn
	result Connection // complete when run has returned

	queue         *pieceQueue
	processing    sync.WaitGroup
	process       func()      // processQueue, stored so that starting it does not allocate
	sentGoingAway atomic.Bool // the server has sent close code 1001

	// Of the receiving goroutine.
	intervals intervals
	sizes     sizes

	// Of the processing goroutine.
	hash      hash.Hash // nil: nothing has been opened yet
	check     *streamCheck
	jitter    pcrJitter
	file      *savedFile // nil: not saved
	observers []*observation
}

// observation is what one expectation sees of a connection.
type observation struct {
	expectation int // its index in Options
	observer    Observer
}

// run receives until the connection has ended and everything that came has been processed.
func (c *connection) run() {
	end, cut := c.receive()
	cut = cut || c.sentGoingAway.Load() || isClosed(c.server.closed)
	c.result.Ended = time.Now().UTC()
	c.ws.CloseNow()
	c.processing.Wait()
	c.endProcessing(cut)
	c.result.Close = end
	c.result.Intervals, c.result.Sizes = c.intervals.result(), c.sizes.result()
	c.result.Jitter = c.jitter.result()
	c.result.BitRate = c.intervals.bitRate(c.result.Bytes)
	c.result.Streams = c.check.Streams()
	c.result.SHA256 = hex.EncodeToString(c.hash.Sum(nil))
	c.result.TS, c.result.problems = c.check.Report(), c.check.Problems()
}

// receive reads messages until the connection ends, and returns how it ended. cut says that a fault ended it, wherever
// the stream was. receive waits only for the peer and for room in the queue, so that the stamps are right.
func (c *connection) receive() (end Close, cut bool) {
	var own *closedByServer
	for {
		isText, message, err := c.ws.NextMessage(context.Background())
		if err != nil {
			return c.closeOf(err), errors.As(err, &own)
		}
		if isText {
			c.result.Text++
			ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
			defer cancel()
			_ = c.ws.Close(ctx, wsconn.StatusUnsupportedData, reasonText)
			return Close{wsconn.StatusUnsupportedData, reasonText}, false
		}
		if err := c.receiveMessage(message); err != nil {
			return c.closeOf(err), errors.As(err, &own)
		}
	}
}

func (c *connection) receiveMessage(r io.Reader) error {
	var at time.Time // when the last byte was read
	var size int64
	for {
		room := c.queue.reserve()
		n, err := r.Read(room)
		if n > 0 || at.IsZero() {
			at = time.Now()
		}
		if c.queue.commit(n, at) {
			c.processing.Add(1)
			go c.process()
		}
		size += int64(n)
		c.result.Bytes += int64(n)
		c.server.countBytes(int64(n))
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
		c.result.latest = c.result.Messages
	}
	if c.server.arrivals != nil {
		c.server.arrivals.put(arrival{connection: c.result.ID, message: c.result.Messages, at: at, bytes: size})
	}
	return nil
}

// closeOf returns how the connection ended, from the error that ended the reading.
func (c *connection) closeOf(err error) Close {
	var frame *wsconn.CloseError
	var network *net.OpError
	var own *closedByServer
	answered := errors.As(err, &frame)
	switch goingAway := c.sentGoingAway.Load(); {
	case errors.As(err, &own):
		return Close{own.code, own.reason}
	case goingAway && (!answered || frame.Code == wsconn.StatusNoStatusRcvd): // an answer need not repeat the code
		return Close{wsconn.StatusGoingAway, reasonGoingAway}
	case answered:
		return Close{frame.Code, frame.Reason}
	case errors.Is(err, wsconn.ErrInvalidReason):
		return Close{wsconn.StatusInvalidFramePayloadData, err.Error()}
	case errors.Is(err, wsconn.ErrTooBig):
		return Close{wsconn.StatusMessageTooBig, err.Error()}
	case errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return Close{wsconn.StatusAbnormalClosure, ""}
	}
	return Close{wsconn.StatusProtocolError, err.Error()}
}

// goAway sends close code 1001 and does not wait for the answer. What the peer sends before it answers is still
// received.
func (c *connection) goAway() {
	c.sentGoingAway.Store(true)
	c.ws.SendClose(wsconn.StatusGoingAway, reasonGoingAway)
}

// processQueue hashes, checks and saves what has been received, until the queue is empty.
func (c *connection) processQueue() {
	defer c.processing.Done()
	c.startProcessing()
	for p, at := c.queue.next(); p != nil; p, at = c.queue.next() {
		c.hash.Write(p)
		c.jitter.now = at
		c.check.Write(p)
		for _, o := range c.observers {
			o.observer.Write(p)
		}
		if c.file != nil {
			c.file.put(p)
		}
		c.queue.done(len(p))
	}
}

// endProcessing says that nothing more will come, and whether the server is the cause.
func (c *connection) endProcessing(cut bool) {
	c.startProcessing()
	c.check.End(cut)
	for _, o := range c.observers {
		o.observer.End()
	}
	if c.file != nil {
		c.file.close()
	}
}

// startProcessing opens what processes the bytes, once.
func (c *connection) startProcessing() {
	if c.hash != nil {
		return
	}
	c.hash = sha256.New()
	c.check = &streamCheck{Checker: mpegts.NewChecker()}
	c.check.OnPCR = c.jitter.pcr
	if d := c.server.options.MaxPCRInterval; d > 0 {
		c.check.MaxPCRInterval = d
	}
	if d := c.server.options.MaxTimestampInterval; d > 0 {
		c.check.MaxTimestampInterval = d
	}
	for i, e := range c.server.options.Expectations {
		if o := e.Watch(c.result.Path); o != nil {
			c.observers = append(c.observers, &observation{i, o})
		}
	}
	if c.server.saved != nil {
		c.file = c.server.saved.create(c.result.ID, c.result.Path)
	}
}
