package natspipe

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// ErrOutputGone says that the reader of the output has gone.
var ErrOutputGone = errors.New("the reader of the output has gone")

// errLinger ends what is under way when Linger is over.
var errLinger = errors.New("no time left")

// fatalError says what no new connection cures, and what a user can do about it; "": nothing to say.
type fatalError struct {
	error
	hint string
}

func (e *fatalError) Unwrap() error { return e.error }

func fatalf(format string, args ...any) error { return hinted("", format, args...) }

func hinted(hint, format string, args ...any) error {
	return &fatalError{fmt.Errorf(format, args...), hint}
}

func isFatal(err error) bool {
	var fatal *fatalError
	return errors.As(err, &fatal)
}

// refused makes a refusal that is about the subject, not about the connection, fatal.
func refused(err error) error {
	if errors.Is(err, nats.ErrPermissionViolation) {
		return fatalf("%w", err)
	}
	return err
}

// refusedBeside reports whether a refusal is about JetStream, not about the subject itself.
func (o *Options) refusedBeside(err error) bool {
	return errors.Is(err, nats.ErrPermissionViolation) && !strings.Contains(err.Error(), strconv.Quote(o.Subject))
}

// outlived makes what ends a run at its beginning no reason to end it later.
func outlived(err error) error {
	var fatal *fatalError
	if errors.As(err, &fatal) {
		return fatal.error
	}
	return err
}

// isRefusal reports whether a server does not let the client in: an early retry is useless.
func isRefusal(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired) || errors.Is(err, nats.ErrTLS)
}

// Hint returns what a user can do about an error, or "".
func Hint(err error) string {
	var fatal *fatalError
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		return "the account must allow the user this subject: permissions { publish: …, subscribe: … }"
	case errors.Is(err, nats.ErrTLS):
		return "give the server's certificate authority with --ca, and --cert and --key if it asks for a certificate"
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "the server offers no TLS, on which tls, wss, --ca and --cert insist"
	case errors.Is(err, nats.ErrNoInfoReceived):
		return "what listens there is no NATS server"
	case isRefusal(err):
		return "give the right --creds, --nkey or --token-file, or user and password in the URL"
	case errors.As(err, &fatal):
		return fatal.hint
	}
	return ""
}
