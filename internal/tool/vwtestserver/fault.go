package vwtestserver

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/testserver"
)

// faultKind is what --fault 'do=NAME' makes of its settings. A new fault of lib/testserver needs an entry here.
type faultKind struct {
	make      func(s *settings) testserver.FaultKind
	handshake bool // it happens instead of a connection
	summary   string
	example   string
}

var faultKinds = []faultKind{
	{func(s *settings) testserver.FaultKind {
		return testserver.Refuse{Status: take(s, "code", strconv.Atoi), RetryAfter: take(s, "retry-after", parseTime)}
	}, true, "answer the handshake with an HTTP status (503)", "conn=1,do=refuse,code=429,retry-after=2s"},
	{func(s *settings) testserver.FaultKind {
		return testserver.HangHandshake{For: take(s, "for", parseTime)}
	}, true, "never answer the handshake", "conn=1,do=hang-handshake"},
	{func(s *settings) testserver.FaultKind {
		return testserver.Redirect{Status: take(s, "code", strconv.Atoi), To: take(s, "to", parseText)}
	}, true, "answer the handshake with a redirect (302), to this server unless to= says where",
		"do=redirect,to=ws://127.0.0.1:9/"},
	{func(*settings) testserver.FaultKind { return testserver.BadAccept{} },
		true, "answer 101 with a wrong Sec-WebSocket-Accept", "conn=1,do=bad-accept"},
	{func(*settings) testserver.FaultKind { return testserver.AcceptThenClose{} },
		false, "accept, then close the TCP connection without a close frame", "conn=1-3,do=accept-then-close"},
	{func(*settings) testserver.FaultKind { return testserver.Reset{} },
		false, "reset the TCP connection", "conn=2,path=/cam*,after=1MiB,do=reset"},
	{func(s *settings) testserver.FaultKind {
		return testserver.CloseFrame{Code: take(s, "code", strconv.Atoi), Reason: take(s, "reason", parseText)}
	}, false, "close with a close frame (1001)", "after=100messages,do=close,code=1012,reason=restart"},
	{func(s *settings) testserver.FaultKind {
		return testserver.CloseThenSilent{Code: take(s, "code", strconv.Atoi), Reason: take(s, "reason", parseText),
			For: take(s, "for", parseTime)}
	}, false, "send a close frame, then nothing more, and keep the TCP connection (for 10s)",
		"after=5s,do=close-then-silent,for=1m"},
	{func(s *settings) testserver.FaultKind { return testserver.Stall{For: take(s, "for", parseTime)} },
		false, "read nothing for a while, then go on", "after=64KiB,do=stall,for=3s"},
	{func(s *settings) testserver.FaultKind { return testserver.Slow{Rate: take(s, "rate", cli.ParseSize)} },
		false, "read so many bytes a second", "do=slow,rate=8KiB"},
	{func(*settings) testserver.FaultKind { return testserver.NoPong{} },
		false, "answer no ping", "after=10s,do=no-pong"},
	{func(s *settings) testserver.FaultKind { return testserver.LatePong{By: take(s, "for", parseTime)} },
		false, "answer pings late (by 2s)", "do=late-pong,for=4s"},
	{func(s *settings) testserver.FaultKind { return testserver.HalfOpen{For: take(s, "for", parseTime)} },
		false, "neither read nor write, keep the TCP connection, then reset it", "after=1MiB,do=half-open,for=1m"},
	{func(*settings) testserver.FaultKind { return testserver.SendText{} },
		false, "send a text message, go on", "after=1messages,do=send-text"},
	{func(s *settings) testserver.FaultKind { return testserver.SendFlood{For: take(s, "for", parseTime)} },
		false, "send binary messages as fast as they go (for 1s)", "do=send-flood,for=5s"},
	{func(s *settings) testserver.FaultKind { return testserver.PingFlood{For: take(s, "for", parseTime)} },
		false, "send pings as fast as they go (for 1s)", "do=ping-flood"},
	{func(s *settings) testserver.FaultKind { return testserver.BigPing{Size: take(s, "size", parseInt)} },
		false, "send a ping with more than the 125 bytes allowed (126)", "do=big-ping,size=1000"},
	{func(s *settings) testserver.FaultKind {
		return testserver.BadFrame{Kind: testserver.BadFrameKind(take(s, "kind", parseText))}
	}, false, "send a forbidden frame: kind=rsv (a reserved bit), opcode, masked or continuation",
		"after=1messages,do=bad-frame,kind=opcode"},
	{func(*settings) testserver.FaultKind { return testserver.Truncate{} },
		false, "send half a frame, then close the TCP connection", "after=1messages,do=truncate"},
}

func (k faultKind) name() string { return k.make(new(settings)).Name() }

// settings are the key=value pairs of a fault that have not been taken yet.
type settings struct {
	values map[string]string
	asked  []string // the keys that were asked for
	err    error    // the first one
}

// take removes a setting and returns its value, zero if it is missing or wrong.
func take[T any](s *settings, key string, parse func(string) (T, error)) T {
	s.asked = append(s.asked, key)
	var none T
	text, ok := s.values[key]
	if !ok {
		return none
	}
	delete(s.values, key)
	value, err := parse(text)
	if err != nil {
		if s.err == nil {
			s.err = fmt.Errorf("%s: %w", key, err)
		}
		return none
	}
	return value
}

func parseSettings(spec string) (*settings, error) {
	values := map[string]string{}
	for part := range strings.SplitSeq(spec, ",") {
		key, value, ok := strings.Cut(part, "=")
		if !ok || value == "" {
			return nil, fmt.Errorf("%q is not key=value", part)
		}
		if _, twice := values[key]; twice {
			return nil, fmt.Errorf("%s is given twice", key)
		}
		values[key] = value
	}
	return &settings{values: values}, nil
}

// parseFault reads what faultHelp describes.
func parseFault(spec string) (testserver.Fault, error) {
	s, err := parseSettings(spec)
	if err != nil {
		return testserver.Fault{}, err
	}
	name := take(s, "do", parseText)
	if name == "" {
		return testserver.Fault{}, errors.New("do= is missing")
	}
	i := slices.IndexFunc(faultKinds, func(k faultKind) bool { return k.name() == name })
	if i < 0 {
		return testserver.Fault{}, fmt.Errorf("there is no fault %q", name)
	}
	conn := take(s, "conn", parseRange)
	f := take(s, "after", parseAfter)
	f.Path = take(s, "path", parseText)
	f.First, f.Last = conn[0], conn[1]
	f.Probability = take(s, "p", parseProbability)
	f.Do = faultKinds[i].make(s)
	if s.err != nil {
		return testserver.Fault{}, s.err
	}
	if unknown := slices.Sorted(maps.Keys(s.values)); len(unknown) > 0 {
		return testserver.Fault{}, fmt.Errorf("fault %s has no %s", name, unknown[0])
	}
	return f, f.Check()
}

func parseText(s string) (string, error) { return s, nil }

func parseInt(s string) (int, error) {
	n, err := cli.ParseSize(s)
	return int(min(n, math.MaxInt32)), err
}

func parseProbability(s string) (float64, error) {
	p, err := strconv.ParseFloat(s, 64)
	if err != nil || !(p > 0 && p <= 1) {
		return 0, fmt.Errorf("%q is not above 0 and at most 1", s)
	}
	return p, nil
}

// parseRange reads N, N-M or N-.
func parseRange(s string) (r [2]int, err error) {
	from, to, isRange := strings.Cut(s, "-")
	first, err := strconv.Atoi(from)
	last := first
	if isRange && to == "" {
		last = math.MaxInt
	} else if isRange && err == nil {
		last, err = strconv.Atoi(to)
	}
	if err != nil || first < 1 || last < first {
		return r, fmt.Errorf("%q is not N, N-M or N-", s)
	}
	return [2]int{first, last}, nil
}

// parseAfter returns a fault of which only one of the After fields is set.
func parseAfter(s string) (f testserver.Fault, err error) {
	if number, ok := strings.CutSuffix(s, "messages"); ok {
		f.AfterMessages, err = parseCount(number)
		return f, err
	}
	if d, err := cli.ParseDuration(s); err == nil {
		if d < 0 {
			return f, fmt.Errorf("%q is negative", s)
		}
		f.AfterTime = d
		return f, nil
	}
	if f.AfterBytes, err = cli.ParseSize(s); err != nil {
		return f, fmt.Errorf("%q is not a size, a duration or Nmessages", s)
	}
	return f, nil
}

func parseTime(s string) (time.Duration, error) {
	d, err := cli.ParseDuration(s)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is not above 0", s)
	}
	return d, err
}

const faultHelp = `--fault 'KEY=VALUE,…' makes something go wrong on purpose; the report says what did,
and when. It may be repeated.

  do=NAME    what: one of those below
  path=GLOB  for paths that match (* does not match a slash)
  conn=N     for the Nth handshake with such a path (N-M, N-)
  after=N    when the connection has received so many bytes (1MiB) or messages
             (10messages), or is so old (5s); else at its start
  p=0.1      with this probability, which --seed and the number of the handshake
             alone decide: the same in each run

Of several that apply to a handshake only the first happens; of the others, all.
`

// printFaults lists the faults with an example each.
func printFaults(w io.Writer) error {
	var b strings.Builder
	b.WriteString(faultHelp)
	for _, k := range faultKinds {
		var s settings
		fmt.Fprintf(&b, "\ndo=%s", k.make(&s).Name())
		for _, key := range s.asked {
			fmt.Fprintf(&b, " [%s=]", key)
		}
		if k.handshake {
			b.WriteString("  (handshake)")
		}
		fmt.Fprintf(&b, "\n    %s\n    --fault '%s'\n", k.summary, k.example)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
