package natspipe

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// rollupHeader makes a JetStream stream forget the earlier messages of the subject.
const rollupHeader = "Nats-Rollup"

// directGet asks for the messages of a subject. Any server that has the stream answers, so there need be no leader.
type directGet struct {
	Seq     uint64 `json:"seq"`
	Batch   int    `json:"batch"`
	Subject string `json:"next_by_subj"`
}

// history calls take with the messages that the stream retains, in order. It waits so long for each.
func history(l *link, retain, subject string, wait time.Duration, take func(*nats.Msg) error) error {
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
		waiting, cancel := context.WithTimeout(l.ctx, wait)
		m, err := sub.NextMsgWithContext(waiting)
		cancel()
		if err != nil {
			return err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case "204", "404": // the end; nothing is retained
			return nil
		default:
			return fmt.Errorf("%s %s", status, m.Header.Get("Description"))
		}
		if err := take(m); err != nil {
			return err
		}
	}
}
