package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// publisher sends a stream as ffmpeg does.
type publisher interface {
	// frame sends one frame.
	frame(p []byte) error
	// bulk sends bytes that are to go as fast as possible.
	bulk(p []byte) error
	// end says that there is no more. A server that answers is heard to the end.
	end(answers bool) error
}

// ffmpegBuffer is the most that ffmpeg writes at once, in bytes.
const ffmpegBuffer = 32 << 10

// httpPublisher is a POST with chunks.
type httpPublisher struct {
	conn *net.TCPConn
	head []byte
}

// dialHTTP begins a POST when the server is there.
func dialHTTP(addr, path string) (publisher, error) {
	conn, err := dialWhenReady(addr)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\nUser-Agent: Lavf\r\nConnection: "+
		"close\r\nHost: %s\r\n\r\n", path, addr)
	return &httpPublisher{conn: conn}, err
}

// frame makes three writes of each piece, and does not turn Nagle's algorithm off: strace shows ffmpeg do so.
func (p *httpPublisher) frame(b []byte) error {
	for len(b) > 0 {
		piece := b[:min(len(b), ffmpegBuffer)]
		b = b[len(piece):]
		p.head = append(strconv.AppendInt(p.head[:0], int64(len(piece)), 16), "\r\n"...)
		for _, w := range [][]byte{p.head, piece, p.head[len(p.head)-2:]} {
			if _, err := p.conn.Write(w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *httpPublisher) bulk(b []byte) error {
	p.head = append(strconv.AppendInt(p.head[:0], int64(len(b)), 16), "\r\n"...)
	pieces := net.Buffers{p.head, b, p.head[len(p.head)-2:]}
	_, err := pieces.WriteTo(p.conn)
	return err
}

func (p *httpPublisher) end(answers bool) error {
	_, err := io.WriteString(p.conn, "0\r\n\r\n")
	if err == nil && answers {
		_ = p.conn.SetReadDeadline(time.Now().Add(processTimeout))
		_, _ = io.Copy(io.Discard, p.conn)
	}
	_ = p.conn.Close()
	return err
}

// plainPublisher is a TCP connection without a protocol, or a pipe.
type plainPublisher struct{ w io.WriteCloser }

func dialPlain(addr string) (publisher, error) {
	conn, err := dialWhenReady(addr)
	return &plainPublisher{conn}, err
}

func (p *plainPublisher) frame(b []byte) error {
	for len(b) > 0 {
		n, err := p.w.Write(b[:min(len(b), ffmpegBuffer)])
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (p *plainPublisher) bulk(b []byte) error {
	_, err := p.w.Write(b)
	return err
}

func (p *plainPublisher) end(bool) error { return p.w.Close() }

// processTimeout is how long a contestant may take to start, and to end.
const processTimeout = 20 * time.Second

// dialWhenReady connects as soon as somebody listens.
func dialWhenReady(addr string) (*net.TCPConn, error) {
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return conn.(*net.TCPConn), conn.(*net.TCPConn).SetNoDelay(false)
		}
		if time.Since(began) > processTimeout {
			return nil, err
		}
	}
}

// lastPort is what freePort has returned. It starts below the ports that connections get (ip_local_port_range): one of
// those may be taken by a connection before the program that is to listen there has started.
var lastPort = 20000

// freePort returns a port that nobody listens on, and that it has not returned before.
func freePort() (string, error) {
	for lastPort < 32000 {
		lastPort++
		port := strconv.Itoa(lastPort)
		if l, err := net.Listen("tcp", ":"+port); err == nil {
			return port, l.Close()
		}
	}
	return "", errors.New("no port is left to listen on")
}
