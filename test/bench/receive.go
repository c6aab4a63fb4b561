package main

import (
	"context"
	"crypto/tls"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/timdrysdale/vw/lib/wsconn"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// receiver takes one stream, and knows what was sent when.
type receiver struct {
	connected chan struct{}
	once      sync.Once
	ended     chan struct{} // the connection has ended
	endOnce   sync.Once

	mu        sync.Mutex
	ends      []int64 // of each frame that was sent, in bytes from the start
	sent      []time.Time
	bytes     int64
	sum       uint32
	delays    []time.Duration // of the frames that have come
	arrived   []time.Time     // the same frames
	first     time.Time       // when the first byte came
	progress  chan struct{}
	sightings *sightings // not nil: of a stream that may not arrive as a whole
}

func newReceiver() *receiver {
	return &receiver{connected: make(chan struct{}), ended: make(chan struct{}), progress: make(chan struct{}, 1)}
}

// mark says that a frame is about to be sent.
func (r *receiver) mark(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var end int64
	if len(r.ends) > 0 {
		end = r.ends[len(r.ends)-1]
	}
	r.ends, r.sent = append(r.ends, end+int64(n)), append(r.sent, time.Now())
}

func (r *receiver) add(p []byte) {
	now := time.Now()
	r.mu.Lock()
	if r.bytes == 0 {
		r.first = now
	}
	r.bytes += int64(len(p))
	for len(r.delays) < len(r.ends) && r.ends[len(r.delays)] <= r.bytes {
		r.delays = append(r.delays, now.Sub(r.sent[len(r.delays)]))
		r.arrived = append(r.arrived, now)
	}
	r.sum = crc32.Update(r.sum, castagnoli, p)
	if r.sightings != nil {
		r.sightings.add(p, now)
	}
	r.mu.Unlock()
	select {
	case r.progress <- struct{}{}:
	default:
	}
}

// await waits until n bytes have come, or the connection has ended.
func (r *receiver) await(n int64, limit time.Duration) error {
	late := time.After(limit)
	for {
		r.mu.Lock()
		have := r.bytes
		r.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-r.progress:
		case <-r.ended:
			select {
			case <-r.progress: // what came last
				continue
			default:
				return errors.New("the connection ended before all had come")
			}
		case <-late:
			return errors.New("not everything came in time")
		}
	}
}

func (r *receiver) begin()  { r.once.Do(func() { close(r.connected) }) }
func (r *receiver) finish() { r.endOnce.Do(func() { close(r.ended) }) }

// drain reads one connection to its end.
func (r *receiver) drain(src io.Reader, buf []byte) error {
	for {
		n, err := src.Read(buf)
		if n > 0 {
			r.add(buf[:n])
		}
		if err != nil {
			return err
		}
	}
}

// messages reads the messages of a websocket connection.
func (r *receiver) messages(conn *wsconn.Conn) {
	defer r.finish()
	r.begin()
	buf := make([]byte, 256<<10)
	for {
		_, m, err := conn.NextMessage(context.Background())
		if err != nil {
			return
		}
		if r.drain(m, buf) != io.EOF {
			return
		}
	}
}

// serveWebsocket takes pushes, with TLS if there is a configuration for it. It returns the URL.
func (r *receiver) serveWebsocket(config *tls.Config) (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	url = "ws://" + l.Addr().String() + "/cam"
	if config != nil {
		url = "wss://" + l.Addr().String() + "/cam"
		l = tls.NewListener(l, config)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		conn, err := wsconn.Accept(w, req, wsconn.AcceptOptions{})
		if err != nil {
			return
		}
		defer conn.CloseNow()
		r.messages(conn)
	})}
	go func() { _ = s.Serve(l) }()
	return url, func() { _ = s.Close() }, nil
}

// dialWebsocket is a viewer of a relay.
func (r *receiver) dialWebsocket(url string) (stop func(), err error) {
	var conn *wsconn.Conn
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if conn, err = wsconn.Dial(context.Background(), url, wsconn.DialOptions{}); err == nil {
			break
		}
		if time.Since(began) > processTimeout {
			return nil, err
		}
	}
	go r.messages(conn)
	return conn.CloseNow, nil
}

// servePlain takes a TCP connection without a protocol.
func (r *receiver) servePlain() (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	go func() {
		defer r.finish()
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r.begin()
		_ = r.drain(conn, make([]byte, 256<<10))
	}()
	return l.Addr().String(), func() { _ = l.Close() }, nil
}
