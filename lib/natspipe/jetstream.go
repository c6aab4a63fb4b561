package natspipe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// answerTimeout limits the wait for one answer of JetStream. While the servers choose a leader, they answer
	// nothing, and what they were asked in that time they never answer: it must be asked again.
	answerTimeout = time.Second
	// askFor is longer than servers take to choose a leader (4 to 9 seconds). One that has no answer after that may
	// have lost the others.
	askFor = 12 * time.Second
	// askPause is the pause between two questions.
	askPause = 250 * time.Millisecond
	// retainAge is how long the current group of a live stream is kept: that of a camera that is gone is of no use.
	retainAge = time.Minute
)

// ask calls question until JetStream answers.
func ask[T any](ctx context.Context, question func(context.Context) (T, error)) (T, error) {
	for ends := time.Now().Add(askFor); ; sleep(ctx, askPause) {
		limited, cancel := context.WithTimeout(ctx, answerTimeout)
		answer, err := question(limited)
		cancel()
		if !unanswered(err) || ctx.Err() != nil || time.Now().After(ends) {
			return answer, err
		}
	}
}

// unanswered reports whether an error says that there is no leader now.
func unanswered(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &api) && api.Code == 503
}

// settled reports whether an error of JetStream is one that waiting does not cure.
func settled(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code != 503
}

const enableHint = "enable JetStream: jetstream {} in the server's configuration, and for the account"

// findStream returns the JetStream stream that holds the subject. That there is none is fatal.
func (o *Options) findStream(ctx context.Context, js jetstream.JetStream) (*jetstream.StreamInfo, error) {
	var stream jetstream.Stream
	name, err := o.Retain, error(nil)
	if name == "" {
		name, err = js.StreamNameBySubject(ctx, o.Subject)
	}
	if err == nil {
		stream, err = js.Stream(ctx, name)
	}
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, hinted("create it with --create and --retain NAME", "no JetStream stream holds %s: %w", o.Subject,
			err)
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled),
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return nil, hinted(enableHint, "the servers have no JetStream: %w", err)
	case err != nil:
		return nil, fmt.Errorf("look for the JetStream stream of %s: %w", o.Subject, err)
	}
	return stream.CachedInfo(), nil
}

// awaitStream is findStream until JetStream answers.
func (o *Options) awaitStream(ctx context.Context, js jetstream.JetStream) (*jetstream.StreamInfo, error) {
	return ask(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) { return o.findStream(ctx, js) })
}

// holds reports whether a JetStream stream of these subjects takes messages on one.
func holds(subjects []string, subject string) bool {
	return slices.ContainsFunc(subjects, func(pattern string) bool {
		words, wanted := strings.Split(subject, "."), strings.Split(pattern, ".")
		for i, w := range wanted {
			switch {
			case i == len(words):
				return false
			case w == ">":
				return true
			case w != "*" && w != words[i]:
				return false
			}
		}
		return len(wanted) == len(words)
	})
}

// createStream creates the JetStream stream, if there is none.
func (p *Publisher) createStream(ctx context.Context, js jetstream.JetStream) error {
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
	_, err := ask(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateStream(ctx, config) })
	switch {
	case err == nil:
		p.o.Log.Info("created", "JetStream stream created", "stream", p.o.Retain)
	case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse):
	case errors.Is(err, nats.ErrNoResponders):
		return hinted(enableHint, "create the JetStream stream %s: %w", p.o.Retain, err)
	case settled(err):
		return fatalf("create the JetStream stream %s: %w", p.o.Retain, err)
	default:
		return fmt.Errorf("create the JetStream stream %s: %w", p.o.Retain, err)
	}
	p.created = true
	return nil
}
