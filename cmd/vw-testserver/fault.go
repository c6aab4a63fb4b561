package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/testserver"
)

// parseFault reads what is described in faultHelp. What of it makes no sense together, testserver.New says.
func parseFault(spec string) (testserver.Fault, error) {
	var f testserver.Fault
	seen := map[string]bool{}
	for part := range strings.SplitSeq(spec, ",") {
		key, value, ok := strings.Cut(part, "=")
		if !ok || value == "" {
			return f, fmt.Errorf("%q is not key=value", part)
		}
		if seen[key] {
			return f, fmt.Errorf("%s stands twice", key)
		}
		seen[key] = true
		if err := setFault(&f, key, value); err != nil {
			return f, fmt.Errorf("%s: %w", key, err)
		}
	}
	if !seen["do"] {
		return f, errors.New("there is no do=")
	}
	return f, nil
}

func setFault(f *testserver.Fault, key, value string) (err error) {
	switch key {
	case "do":
		f.Do = testserver.FaultName(value)
	case "path":
		f.Path = value
	case "conn":
		f.First, f.Last, err = parseRange(value)
	case "p":
		f.Probability, err = strconv.ParseFloat(value, 64)
		if err != nil || !(f.Probability > 0 && f.Probability <= 1) {
			return fmt.Errorf("%q is not above 0 and up to 1", value)
		}
	case "after":
		return setAfter(f, value)
	case "code":
		f.Code, err = strconv.Atoi(value)
	case "reason":
		f.Reason = value
	case "to":
		f.To = value
	case "kind":
		f.Kind = value
	case "retry-after":
		f.RetryAfter, err = parseTime(value)
	case "for":
		f.For, err = parseTime(value)
	case "rate":
		f.Rate, err = cli.ParseSize(value)
	case "size":
		var n int64
		n, err = cli.ParseSize(value)
		f.Size = int(min(n, math.MaxInt32))
	default:
		return errors.New("unknown key")
	}
	return err
}

// parseRange reads N, N-M or N-.
func parseRange(s string) (first, last int, err error) {
	from, to, isRange := strings.Cut(s, "-")
	first, err = strconv.Atoi(from)
	last = first
	if isRange && to == "" {
		last = math.MaxInt
	} else if isRange && err == nil {
		last, err = strconv.Atoi(to)
	}
	if err != nil || first < 1 || last < first {
		return 0, 0, fmt.Errorf("%q is not N, N-M or N-", s)
	}
	return first, last, nil
}

func setAfter(f *testserver.Fault, s string) error {
	if number, ok := strings.CutSuffix(s, "messages"); ok {
		n, err := parseCount(number)
		f.AfterMessages = n
		return err
	}
	if d, err := time.ParseDuration(s); err == nil {
		if d < 0 {
			return fmt.Errorf("%q is negative", s)
		}
		f.AfterTime = d
		return nil
	}
	n, err := cli.ParseSize(s)
	if err != nil {
		return fmt.Errorf("%q is no size, no duration, and not Nmessages", s)
	}
	f.AfterBytes = n
	return nil
}

func parseTime(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
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
  after=N    when so many bytes (1MiB), messages (10messages) or so much time (5s)
             of the connection have come; else at its start
  p=0.1      with this probability, decided by --seed and the number of the
             handshake alone: the same in each run

Of those about the handshake the first that matches happens; of the others, all.
`

// printFaults lists the faults with an example each.
func printFaults(w io.Writer) error {
	var b strings.Builder
	b.WriteString(faultHelp)
	for _, k := range testserver.FaultKinds() {
		fmt.Fprintf(&b, "\ndo=%s", k.Name)
		for _, key := range k.Uses {
			fmt.Fprintf(&b, " [%s=]", key)
		}
		if k.Handshake {
			b.WriteString("  (handshake)")
		}
		fmt.Fprintf(&b, "\n    %s\n    --fault '%s'\n", k.Summary, k.Example)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
