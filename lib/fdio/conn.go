package fdio

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Conn is a TCP connection that is read and written as this package does. Everything else is the connection's own.
type Conn struct {
	*net.TCPConn
	d *descriptor
}

// NewConn returns conn as this package reads and writes it, or as it is if it is no TCP connection.
func NewConn(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	d, err := newDescriptor(tcp)
	if err != nil {
		return conn
	}
	return &Conn{tcp, d}
}

func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.d.read(p)
	return n, c.opError("read", err)
}

func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.d.write(p)
	return n, c.opError("write", err)
}

// opError makes err one as package net has them.
func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	var errno syscall.Errno
	switch {
	case err == os.ErrClosed:
		err = net.ErrClosed
	case errors.As(err, &errno):
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// Listener accepts Conns.
type Listener struct{ net.Listener }

// Accept waits for a connection.
func (l Listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return NewConn(conn), nil
}
