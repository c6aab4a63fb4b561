package record

import (
	"io"
	"os"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

// announced is what a file says of the gaps in it.
type announced struct {
	bytes int64 // of the announcements
	gaps  int64
}

// examine reads what was written of s again: its size up to the last whole packet (of a raw stream all), its counts and
// its hash are then those of the file.
func (s *segment) examine() (announced, error) {
	f, err := os.Open(s.temp)
	if err != nil {
		return announced{}, err
	}
	defer f.Close()
	var gaps announced
	s.tally = tally{}
	if s.raw {
		info, err := f.Stat()
		if err != nil {
			return announced{}, err
		}
		s.size = info.Size()
		s.otherBytes()
	} else if gaps, err = s.count(f); err != nil {
		return announced{}, err
	}
	if s.hash != nil {
		s.hash.Reset()
		if _, err := io.Copy(s.hash, io.NewSectionReader(f, 0, s.size)); err != nil {
			return announced{}, err
		}
	}
	return gaps, nil
}

// count counts the packets of f and sets the size to the end of the last.
func (s *segment) count(f io.Reader) (announced, error) {
	reader := stream.NewReader(f, stream.ReaderOptions{Format: stream.TS})
	defer reader.Close()
	var (
		scan   mpegts.Scanner
		gaps   announced
		behind bool // the packet before announced a gap
		offset int64
	)
	s.size = 0
	for {
		batch, err := reader.Next()
		if err == io.EOF {
			return gaps, nil
		}
		if err != nil {
			return gaps, err
		}
		for _, c := range batch.Chunks {
			offset += int64(len(c.Data))
			if c.Kind != stream.Packets {
				s.otherBytes()
				continue
			}
			s.size = offset
			for b := c.Data; len(b) > 0; b = b[mpegts.PacketSize:] {
				p := mpegts.Packet(b[:mpegts.PacketSize])
				mark := scan.Packet(p)
				s.packet(p, mark)
				if behind && mark&(mpegts.AccessUnit|mpegts.RandomAccess) != 0 {
					gaps.gaps++ // each is announced once for the video
				}
				if behind = isAnnouncement(p); behind {
					gaps.bytes += mpegts.PacketSize
				}
			}
		}
	}
}
