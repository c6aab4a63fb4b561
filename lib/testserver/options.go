package testserver

import (
	"errors"
	"log/slog"
	"time"
)

const (
	// DefaultMaxMessage is Options.MaxMessage if that is 0, in bytes.
	DefaultMaxMessage = 64 << 20
	// DefaultLinger is the Options.Linger of the command.
	DefaultLinger = 10 * time.Second
)

// ErrTimeout says that Options.Timeout passed before Options.Conns or Options.Bytes was reached.
var ErrTimeout = errors.New("timed out")

// ErrClosed says that Close ended the server.
var ErrClosed = errors.New("test server closed")

// Options configure a server. With the zero value it listens on a free port of 127.0.0.1 and receives until Wait's
// context ends.
type Options struct {
	// Listen is host:port; "" means 127.0.0.1:0.
	Listen string
	// TLS makes the server speak wss, with a certificate for localhost, 127.0.0.1, ::1 and the host of Listen. Its
	// authority is made for this server alone: see Server.CertPEM.
	TLS bool
	// Token, unless "", must come with each handshake: as a Bearer token or as the password of Basic authentication.
	Token string

	// Conns ends the server after so many connections have ended, Bytes after so many bytes in all. 0: no limit.
	Conns int
	Bytes int64
	// Timeout, counted from New, ends the server; with Conns or Bytes that is a failure. 0: none.
	Timeout time.Duration
	// Linger is how long open connections may go on after Wait's context has ended.
	Linger time.Duration

	// MaxMessage is the longest accepted message in bytes; a longer one ends its connection with close code 1009. 0
	// means DefaultMaxMessage.
	MaxMessage int64
	// Save is a folder for what each connection sends: "001-cam1.ts" for the first connection, with the path /cam1. The
	// folder is made if it is missing; files are overwritten. "": nothing is saved.
	Save string
	// Arrivals is a CSV file for the arrival time of each message, which is overwritten. "": none.
	Arrivals string
	// Start is what the times in Arrivals count from; zero means New.
	Start time.Time

	// MaxPCRInterval is the longest time between two PCRs that ExpectClean allows; 0 means mpegts.DefaultPCRInterval.
	MaxPCRInterval time.Duration
	// MaxTimestampInterval is the longest time between two timestamps of audio or video that ExpectClean allows; 0
	// means mpegts.DefaultTimestampInterval.
	MaxTimestampInterval time.Duration
	// Expectations are judged at the end, and reported in this order.
	Expectations []Expectation

	// Faults go wrong on purpose. Seed decides about those with a probability: with the same seed, the same handshakes
	// are affected.
	Faults []Fault
	Seed   uint64

	// OnConnected and OnClosed are called for each connection, in order and one at a time, in a goroutine that receives
	// nothing. They may be nil. They must not call Wait or Close, which wait for them.
	OnConnected func(Connected)
	OnClosed    func(Connection)
	// Log gets refused handshakes, faults and connections; nil: no log.
	Log *slog.Logger
}
