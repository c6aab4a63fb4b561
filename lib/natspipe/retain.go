package natspipe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// rollupHeader makes a JetStream stream forget the earlier messages of the subject.
	rollupHeader = "Nats-Rollup"
	// retainAge is how long the current group of a live stream is kept: that of a camera that is gone is of no use.
	retainAge = time.Minute
)

// create creates the JetStream stream, or does nothing if there is one of that name.
func (p *Publisher) create(ctx context.Context, js jetstream.JetStream) error {
	ctx, cancel := context.WithTimeout(ctx, 2*p.o.DeadAfter)
	defer cancel()
	config := jetstream.StreamConfig{
		Name: p.o.Retain, Subjects: []string{p.o.Subject}, Replicas: p.o.Replicas, AllowDirect: true,
		MaxBytes: -1, MaxAge: p.o.KeepAge, Discard: jetstream.DiscardNew,
	}
	if p.o.KeepSize > 0 {
		config.MaxBytes = p.o.KeepSize
	}
	if p.o.Live {
		config.Storage, config.AllowRollup, config.Discard = jetstream.MemoryStorage, true, jetstream.DiscardOld
		config.MaxAge, config.MaxBytes = retainAge, p.o.Buffer
	}
	_, err := js.CreateStream(ctx, config)
	var api *jetstream.APIError
	switch {
	case err == nil:
		p.o.Log.Info("created", "JetStream stream created", "stream", p.o.Retain)
	case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse):
	case errors.As(err, &api) && api.Code != 503, errors.Is(err, nats.ErrNoResponders):
		return fatalf("create the JetStream stream %s: %w", p.o.Retain, err)
	default:
		return fmt.Errorf("create the JetStream stream %s: %w", p.o.Retain, err)
	}
	p.created = true
	return nil
}

// createLive creates the stream of the current group beside what is sent, which must not wait for it. It returns an
// error if that cannot succeed.
func (p *Publisher) createLive(ctx context.Context, l *link) error {
	js, err := jetstream.New(l.nc)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		err := p.create(ctx, js)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		p.o.Log.Warn("retain", "no stream for the current group of pictures", "err", err)
		if isFatal(err) {
			return err
		}
		sleep(ctx, time.Second)
	}
	return nil
}

// historyTimeout limits the wait for the next retained message.
const historyTimeout = time.Second

// directGet asks for the messages of a subject. Any server that has the stream answers, so there need be no leader.
type directGet struct {
	Seq     uint64 `json:"seq"`
	Batch   int    `json:"batch"`
	Subject string `json:"next_by_subj"`
}

// history calls take with the messages that the stream retains, in order.
func history(ctx context.Context, l *link, retain, subject string, take func(*nats.Msg) error) error {
	inbox := l.nc.NewInbox()
	sub, err := l.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	request, err := json.Marshal(directGet{1, 1 << 20, subject})
	if err != nil {
		return err
	}
	if err := l.nc.PublishRequest("$JS.API.DIRECT.GET."+retain, inbox, request); err != nil {
		return err
	}
	for {
		waiting, cancel := context.WithTimeout(ctx, historyTimeout)
		m, err := sub.NextMsgWithContext(waiting)
		cancel()
		if err != nil {
			return fmt.Errorf("read the current group from the JetStream stream %s: %w", retain, err)
		}
		if status := m.Header.Get("Status"); status == "204" || status == "404" {
			return nil // the end; nothing is retained
		} else if status != "" {
			return fmt.Errorf("read the current group from the JetStream stream %s: %s %s", retain, status,
				m.Header.Get("Description"))
		}
		if err := take(m); err != nil {
			return err
		}
	}
}
