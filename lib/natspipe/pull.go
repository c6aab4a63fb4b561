package natspipe

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// pullMessages and pullBytes are how much is asked for at a time. The server says when that has come.
	pullMessages = 256
	pullBytes    = 8 << 20
	// pullExpiry is how long the server keeps a request. While it does, it sends a sign of life each pullHeartbeat.
	// Without two of them a new request is sent: the server that had the old one may be gone.
	pullExpiry    = 10 * time.Second
	pullHeartbeat = 500 * time.Millisecond
)

// errBeginAgain says that a consumer has ended, or has left messages out. They come when it begins again.
var errBeginAgain = errors.New("the JetStream consumer has to begin again")

// pull asks a consumer for messages over one connection. It does what nats.go's does, in the goroutine that takes the
// messages: that one wakes two more for each.
type pull struct {
	nc      *nats.Conn
	sub     *nats.Subscription
	subject string // of requests
	request []byte
	asked   bool // and that has not come yet
}

func newPull(l *link, stream, durable string) (*pull, error) {
	// A request for fewer bytes than a message has would be refused for ever.
	request, err := json.Marshal(map[string]any{
		"batch": pullMessages, "max_bytes": max(pullBytes, 2*l.nc.MaxPayload()),
		"expires": pullExpiry, "idle_heartbeat": pullHeartbeat,
	})
	if err != nil {
		return nil, err
	}
	sub, err := l.nc.SubscribeSync(l.nc.NewInbox())
	if err != nil {
		return nil, err
	}
	subject := "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + durable
	return &pull{nc: l.nc, sub: sub, subject: subject, request: request}, sub.SetPendingLimits(-1, -1)
}

// stop ends next.
func (p *pull) stop() { _ = p.sub.Unsubscribe() }

// next returns the next message. It returns nats.ErrTimeout if the server shows no sign of life, and asks again when it
// is called again.
func (p *pull) next() (*nats.Msg, error) {
	for {
		if !p.asked {
			if err := p.nc.PublishRequest(p.subject, p.sub.Subject, p.request); err != nil {
				return nil, err
			}
			p.asked = true
		}
		m, err := p.sub.NextMsg(2 * pullHeartbeat)
		switch {
		case err == nats.ErrNoResponders:
			return nil, fmt.Errorf("%w: %w", errBeginAgain, err)
		case err != nil:
			p.asked = false
			return nil, err
		case m.Reply != "": // where it is acknowledged
			return m, nil
		}
		switch status, why := m.Header.Get("Status"), m.Header.Get("Description"); {
		case status == "100": // a sign of life
		case status == "408", why == "Batch Completed", why == "Message Size Exceeds MaxBytes":
			p.asked = false
		default:
			return nil, fmt.Errorf("%w: %s %s", errBeginAgain, status, why)
		}
	}
}
