package natspipe

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// positionHeader says where in its stream a message stands, and whether decoding can start there: "ID POS" or
// "ID POS start FRONT". ID is another one for each run of a publisher. POS counts the bytes of the stream before the
// message. FRONT is how many bytes the message has in front of those of the stream: PAT, PMT and parameter sets, for
// those who begin here.
const positionHeader = "Vw-Stream"

// maxPosition is more than any stream has. Sums of less do not overflow.
const maxPosition = 1 << 56

// position is what the header says.
type position struct {
	id    string
	pos   int64
	start bool
	front int
}

func (p position) String() string {
	if p.start {
		return fmt.Sprintf("%s %d start %d", p.id, p.pos, p.front)
	}
	return fmt.Sprintf("%s %d", p.id, p.pos)
}

// parsePosition reads the header of a message.
func parsePosition(m *nats.Msg) (p position, err error) {
	value := m.Header.Get(positionHeader)
	n, _ := fmt.Sscanf(value, "%s %d start %d", &p.id, &p.pos, &p.front)
	p.start = n == 3
	if n < 2 || p.pos < 0 || p.pos > maxPosition || p.front < 0 || p.front > len(m.Data) || p.String() != value {
		return position{}, errors.New("the message does not come from vw-nats pub")
	}
	return p, nil
}

// step is what a message means to who follows the stream.
type step uint8

const (
	skipped step = iota // it was there before, or nothing can start with it
	next
	begins // another stream begins, or the first
	gap    // something is missing in front of it
)

// follower puts the messages of a stream together again.
type follower struct {
	id   string
	next int64 // the position that comes next
}

// follow says what a message is, of size bytes of the stream, and how many bytes are missing before it.
func (f *follower) follow(p position, size int) (s step, missing int64) {
	switch {
	case p.id != f.id && !p.start:
		return skipped, 0
	case p.id != f.id:
		s = begins
	case p.pos < f.next:
		return skipped, 0
	case p.pos > f.next:
		s, missing = gap, p.pos-f.next
	default:
		s = next
	}
	f.id, f.next = p.id, p.pos+int64(size)
	return s, missing
}

// lacks reports whether something is missing before a message, or nothing can start with it.
func (f *follower) lacks(p position) bool {
	return p.id != f.id && !p.start || p.id == f.id && p.pos > f.next
}
