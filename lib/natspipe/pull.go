package natspipe

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// pullMessages and pullBytes are how much is asked for at a time. The server says when that has come.
	pullMessages = 256
	pullBytes    = 8 << 20
	// firstPull is how many bytes are asked for at first. A server cuts off who does not take what was asked for within
	// write_deadline, so as long as that takes longer than pullQuick not more is asked for.
	firstPull = 128 << 10
	pullQuick = 500 * time.Millisecond
	// pullExpiry is how long the server keeps a request. While it does, it sends a sign of life each pullHeartbeat.
	// Without two of them the consumer begins again: the server that had the request may be gone.
	pullExpiry    = 10 * time.Second
	pullHeartbeat = 500 * time.Millisecond
)

// errBeginAgain says that a consumer has ended, or has left messages out. They come when it begins again.
var errBeginAgain = errors.New("the JetStream consumer has to begin again")

// pull asks a consumer for messages over one connection, for no more at a time than the link takes. nats.go asks for as
// much each time.
type pull struct {
	*link
	sub     *nats.Subscription
	subject string    // of requests
	bytes   int       // that the next one is for
	asked   time.Time // zero: no request is under way
	empty   bool      // the one that is under way has brought nothing
}

func newPull(l *link, stream, durable string) (*pull, error) {
	sub, err := l.nc.SubscribeSync(l.nc.NewInbox())
	if err != nil {
		return nil, err
	}
	subject := "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + durable
	return &pull{link: l, sub: sub, subject: subject, bytes: firstPull}, sub.SetPendingLimits(-1, -1)
}

func (p *pull) ask() error {
	request, err := json.Marshal(map[string]any{
		"batch": pullMessages, "max_bytes": p.bytes, "expires": pullExpiry, "idle_heartbeat": pullHeartbeat,
	})
	if err != nil {
		return err
	}
	p.asked, p.empty = time.Now(), true
	return p.nc.PublishRequest(p.subject, p.sub.Subject, request)
}

// brought ends a request that has brought as much as was asked for, or nothing, as a message is longer than that.
func (p *pull) brought() {
	switch {
	case p.empty:
		p.bytes *= 2
	case time.Since(p.asked) < pullQuick:
		p.bytes = max(p.bytes, min(2*p.bytes, pullBytes))
	}
	p.asked = time.Time{}
}

// stop ends next.
func (p *pull) stop() { _ = p.sub.Unsubscribe() }

// next returns the next message.
func (p *pull) next() (*nats.Msg, error) {
	for {
		if p.asked.IsZero() {
			if err := p.ask(); err != nil {
				return nil, err
			}
		}
		m, err := p.sub.NextMsg(2 * pullHeartbeat)
		if err == nats.ErrTimeout {
			// A slow link may be busy with a long message. The answer to a ping comes behind that.
			if err := p.flush(p.ctx); err != nil {
				return nil, err
			}
			m, err = p.sub.NextMsg(pullHeartbeat)
		}
		switch {
		case err == nats.ErrTimeout:
			return nil, fmt.Errorf("%w: its server shows no sign of life", errBeginAgain)
		case err == nats.ErrNoResponders:
			return nil, fmt.Errorf("%w: %w", errBeginAgain, err)
		case err != nil:
			return nil, err
		case m.Reply != "": // where it is acknowledged
			p.empty = false
			return m, nil
		}
		switch status, why := m.Header.Get("Status"), m.Header.Get("Description"); {
		case status == "100": // a sign of life
		case status == "408":
			p.asked = time.Time{}
		case why == "Batch Completed", why == "Message Size Exceeds MaxBytes":
			p.brought()
		case status == "400", strings.HasPrefix(why, "Exceeded MaxRequest"):
			return nil, fatalf("the JetStream consumer refuses what vw-nats asks: %s %s", status, why)
		default:
			return nil, fmt.Errorf("%w: %s %s", errBeginAgain, status, why)
		}
	}
}
