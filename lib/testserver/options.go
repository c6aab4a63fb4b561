package testserver

import (
	"errors"
	"log/slog"
	"time"
)

const (
	// DefaultMaxMessage is used when Options has none, in bytes.
	DefaultMaxMessage = 64 << 20
	// DefaultLinger is what the command uses.
	DefaultLinger = 10 * time.Second
)

// ErrTimeout says that Options.Timeout was over before Options.Conns or Options.Bytes was reached.
var ErrTimeout = errors.New("timed out")

// ErrClosed says that Close ended the server.
var ErrClosed = errors.New("test server closed")

// Options say what a server does. The zero value listens on a free port of 127.0.0.1 and takes everything until it is
// told to end.
type Options struct {
	// Listen is host:port; "" means 127.0.0.1:0.
	Listen string
	// TLS makes it wss, with a certificate for localhost, 127.0.0.1, ::1 and the host of Listen, from an authority made
	// for this server alone: see Server.CertPEM.
	TLS bool
	// Token, when not "", must come with each handshake: as a Bearer token or as the password of Basic authentication.
	Token string

	// Conns ends the server when so many connections have ended, Bytes when so many bytes have come in all. 0: no limit.
	Conns int
	Bytes int64
	// Timeout, counted from New, ends the server; with Conns or Bytes that is a failure. 0: none.
	Timeout time.Duration
	// Linger is how long open connections may go on when Wait's context has ended.
	Linger time.Duration

	// MaxMessage is the longest message that is taken, in bytes; a longer one ends its connection with close code 1009.
	// 0 means DefaultMaxMessage.
	MaxMessage int64
	// Save is a folder, made when missing, for what each connection sends: "001-cam1.ts" for the first connection, with
	// the path /cam1. A file that is there is overwritten. "": nothing is saved.
	Save string
	// Arrivals is a CSV file for the arrival of each message, overwritten when there. "": none.
	Arrivals string
	// Start is what times in Arrivals count from; zero means New.
	Start time.Time

	// MaxPCRInterval is the longest time between two PCRs that ExpectClean takes; 0 means mpegts.DefaultPCRInterval.
	MaxPCRInterval time.Duration
	// Expectations are judged at the end, and reported in this order.
	Expectations []Expectation

	// Faults go wrong on purpose. Seed decides about those that have a probability: with the same seed, the same handshakes
	// fail.
	Faults []Fault
	Seed   uint64

	// OnConnected and OnClosed are told of connections, in order, one call at a time, apart from the receiving of messages.
	// They may be nil, and must not call Wait or Close, which wait for them.
	OnConnected func(Connected)
	OnClosed    func(Connection)
	// Log takes refused handshakes and the like; nil means none.
	Log *slog.Logger
}
