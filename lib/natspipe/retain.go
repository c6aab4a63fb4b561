package natspipe

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// rollupHeader makes a JetStream stream forget the earlier messages of the subject.
const rollupHeader = "Nats-Rollup"

const (
	// historyWait and maxHistoryWait limit how long what is retained is waited for before it is asked for again: the
	// server that was asked may be frozen, and another one have it too. Each time takes half as long again.
	historyWait    = 50 * time.Millisecond
	maxHistoryWait = time.Second
	// historyFor, times the first wait, is longer than the last one. After that the next group is waited for.
	historyFor = 8
	// minPart and maxPart limit how much is asked for at a time: twice as much after each part that came within
	// partTime. What a link does not take within the server's write_deadline ends the connection, as what is longer
	// than its max_pending does.
	minPart  = 128 << 10
	maxPart  = 512 << 10
	partTime = 250 * time.Millisecond
)

// history reads what a JetStream stream retains of a subject, over one connection.
type history struct {
	l       *link
	subject string // of requests
	sub     *nats.Subscription
	wait    time.Duration // the first
	request directGet
	asked   time.Time
}

// directGet asks for messages of a subject. Any server that has the stream answers, so there need be no leader.
type directGet struct {
	Seq      uint64 `json:"seq"` // of the first
	Batch    int    `json:"batch"`
	MaxBytes int    `json:"max_bytes"`
	Subject  string `json:"next_by_subj"`
}

func newHistory(l *link, retain, subject string) (*history, error) {
	sub, err := l.nc.SubscribeSync(l.nc.NewInbox())
	return &history{l: l, subject: "$JS.API.DIRECT.GET." + retain, sub: sub,
		wait:    min(max(historyWait, l.took/2), maxHistoryWait),
		request: directGet{Seq: 1, Batch: 1 << 20, MaxBytes: minPart, Subject: subject}}, err
}

func (h *history) close() { _ = h.sub.Unsubscribe() }

func (h *history) ask() error {
	request, err := json.Marshal(h.request)
	if err != nil {
		return err
	}
	h.asked = time.Now()
	return h.l.nc.PublishRequest(h.subject, h.sub.Subject, request)
}

// read calls take with the messages that were not taken yet, in order, until there are no more, or take fails.
func (h *history) read(take func(*nats.Msg) error) error {
	err := h.ask()
	for wait := h.wait; err == nil; {
		m, silent := h.next(wait)
		if silent != nil {
			switch wait += wait / 2; {
			case silent != nats.ErrTimeout:
				return silent
			case wait > historyFor*h.wait:
				return errNoAnswer
			}
			h.request.MaxBytes = minPart
			err = h.ask()
			continue
		}
		wait = h.wait
		switch status := m.Header.Get("Status"); {
		case status == "":
			if err = take(m); err == nil {
				seq, _ := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
				h.request.Seq = max(h.request.Seq, seq+1)
			}
		case status == "204" && m.Header.Get("Nats-Num-Pending") != "0":
			if time.Since(h.asked) < partTime {
				h.request.MaxBytes = min(2*h.request.MaxBytes, maxPart)
			}
			err = h.ask()
		case status == "204", status == "404": // the end; nothing is retained
			return nil
		default:
			err = fmt.Errorf("%s %s", status, m.Header.Get("Description"))
		}
	}
	return err
}

// next returns the next message. Half of the time for it begins when the server has answered a ping: until then the
// message may be behind others, on a link that is slow.
func (h *history) next(wait time.Duration) (*nats.Msg, error) {
	m, err := h.sub.NextMsg(wait / 2)
	if err == nats.ErrTimeout {
		if err := h.l.flush(h.l.ctx); err != nil {
			return nil, err
		}
		m, err = h.sub.NextMsg(wait / 2)
	}
	return m, err
}
