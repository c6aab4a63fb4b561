package record

import (
	"io"
	"os"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

// announcedGaps counts the gaps that are announced in a file.
type announcedGaps struct {
	bytes int64 // of the announcements
	gaps  int64
}

// rescan reads the file of s again and sets size, counts and hash from it. The size ends with the last whole packet;
// for a raw stream it is that of the file.
func (s *segment) rescan() (announcedGaps, error) {
	f, err := os.Open(s.temp)
	if err != nil {
		return announcedGaps{}, err
	}
	defer f.Close()
	var gaps announcedGaps
	s.stats = stats{}
	if s.raw {
		info, err := f.Stat()
		if err != nil {
			return announcedGaps{}, err
		}
		s.size = info.Size()
		s.nonPackets()
	} else if gaps, err = s.count(f); err != nil {
		return announcedGaps{}, err
	}
	if s.hash != nil {
		s.hash.Reset()
		if _, err := io.Copy(s.hash, io.NewSectionReader(f, 0, s.size)); err != nil {
			return announcedGaps{}, err
		}
	}
	return gaps, nil
}

// count counts the packets of f, and sets the size to the end of the last.
func (s *segment) count(f io.Reader) (announcedGaps, error) {
	reader := stream.NewReader(f, stream.ReaderOptions{Format: stream.TS})
	defer reader.Close()
	var (
		marks             []mpegts.Mark
		scan              mpegts.Scanner
		gaps              announcedGaps
		afterAnnouncement bool // the packet before announced a gap
		offset            int64
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
				s.nonPackets()
				continue
			}
			s.size = offset
			marks = scan.AppendMarks(marks[:0], c.Data)
			video, isVideo, _ := scan.Followed()
			if !isVideo {
				video.PID = 0
			}
			if c.Change&mpegts.ClockJump != 0 {
				s.jump()
			}
			for i, mark := range marks {
				p := mpegts.Packet(c.Data[i*mpegts.PacketSize : (i+1)*mpegts.PacketSize])
				s.packet(p, mark, video.PID)
				if afterAnnouncement && mark&(mpegts.AccessUnit|mpegts.RandomAccess) != 0 {
					gaps.gaps++ // the queue announces each gap once for the video
				}
				if afterAnnouncement = isAnnouncement(p); afterAnnouncement {
					gaps.bytes += mpegts.PacketSize
				}
			}
		}
	}
}
