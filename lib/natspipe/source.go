package natspipe

import (
	"bytes"
	"context"
	"io"
	"os"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

// source is what has come and was not read yet, for a stream.Reader, which never waits for more.
type source struct {
	bytes.Reader
	ended bool
	timed bool // a read has a deadline
}

func (s *source) SetReadDeadline(t time.Time) error {
	s.timed = !t.IsZero()
	return nil
}

func (s *source) Read(p []byte) (int, error) {
	switch {
	case s.Len() > 0:
		return s.Reader.Read(p)
	case s.ended:
		return 0, io.EOF
	case s.timed:
		return 0, os.ErrDeadlineExceeded
	}
	return 0, nil
}

func (s *Subscriber) newReader(format stream.Format) {
	s.source = source{}
	s.reader = stream.NewReader(&s.source, stream.ReaderOptions{Format: format, Warn: s.warn})
}

// put puts what has come into the queue; nil: what the reader has held back for more.
func (s *Subscriber) put(ctx context.Context, data []byte) error {
	for s.source.Reset(data); ; {
		b, err := s.reader.Next()
		if err != nil {
			return fatalf("%w", err)
		}
		if len(b.Chunks) > 0 && s.splice {
			b.Chunks[0].Splice, s.splice = true, false
		}
		s.o.Ledger.AddIn(b.N)
		if err := s.output.Put(ctx, b); err != nil || s.source.Len() == 0 {
			return err
		}
	}
}

// endReader puts what the reader holds back into the queue, and ends it.
func (s *Subscriber) endReader() {
	if s.reader == nil {
		return
	}
	s.source.ended = true
	for s.put(context.Background(), nil) == nil {
	}
	s.reader.Close()
	s.reader = nil
}

// isTS reports whether data are packets.
func isTS(data []byte) bool {
	for i := 0; i < len(data); i += mpegts.PacketSize {
		if data[i] != mpegts.SyncByte {
			return false
		}
	}
	return len(data)%mpegts.PacketSize == 0
}
