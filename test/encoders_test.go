package test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// encoder returns two seconds of video as an encoder of ffmpeg's sends them.
func encoder(t testing.TB, args string) []byte {
	t.Helper()
	return outputOf(t, tool(t, "ffmpeg")+" -nostdin -v error -f lavfi -i "+args+" -t 2 -g 10 -f mpegts -")
}

// publishTo posts a body. With killed the connection breaks after it.
func publishTo(t testing.TB, url string, body []byte, killed bool) {
	t.Helper()
	var r io.Reader = bytes.NewReader(body)
	if killed {
		r = io.MultiReader(r, iotest.ErrReader(errors.New("killed")))
	}
	req, err := http.NewRequest(http.MethodPost, url, struct{ io.Reader }{r}) // in chunks
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if !killed {
			t.Fatal(err)
		}
		return
	}
	resp.Body.Close()
}

// TestEncoderChanges: one encoder follows another through vw-ingest. Lossless tools change no byte. With --live the
// splice is announced, and another codec begins a new connection; what arrives decodes.
func TestEncoderChanges(t *testing.T) {
	t.Parallel()
	first := encoder(t, "testsrc2=size=160x120:rate=25 -c:v mpeg1video -bf 0")
	for _, second := range []struct {
		name   string
		stream []byte
		codec  bool // another one
	}{
		{"the same", first, false},
		{"another size", encoder(t, "testsrc2=size=320x240:rate=25 -c:v mpeg1video -bf 0"), false},
		{"another codec", encoder(t, "testsrc2=size=160x120:rate=25 -c:v libx264 -preset ultrafast"), true},
	} {
		for _, killed := range []bool{false, true} {
			for _, live := range []bool{false, true} {
				name := second.name + map[bool]string{true: ", killed"}[killed] + map[bool]string{true: ", live"}[live]
				t.Run(name, func(t *testing.T) {
					body := first
					if killed {
						body = first[:len(first)/2/mpegts.PacketSize*mpegts.PacketSize+100]
					}
					whole := body[:len(body)/mpegts.PacketSize*mpegts.PacketSize]
					conns := 1
					if live && second.codec {
						conns = 2
					}
					s := serve(t, "--conns", strconv.Itoa(conns))
					ingest, push := []string{"--listen", "127.0.0.1:0"}, []string{s.url}
					if live {
						ingest, push = append(ingest, "--live"), append(push[:0], "--live", "--max-age", "1m", s.url)
					}
					p := pipeline(t, nil, stage{"vw-ingest", ingest}, stage{"vw-push", push})
					url := ingestURL(p[0])
					publishTo(t, url, body, killed)
					// The server closes a publisher's connection when all of it is in the queue.
					p[0].find(p[0].stderr, `msg="publisher (?:ended|died)"`)
					publishTo(t, url, second.stream, false)
					p[0].signal(syscall.SIGTERM)
					p[0].wait()
					p[1].wait()
					s.wait()
					if !live {
						same(t, "lossless", s.saved(1), slices.Concat(whole, second.stream))
						return
					}
					if conns == 2 {
						same(t, "the first connection", s.saved(1), whole)
						decodesWhole(t, write(t, "1.ts", s.saved(1)))
						checkBeginning(t, s.saved(2), second.stream)
						return
					}
					got := s.saved(1)
					same(t, "the first encoder", got[:len(whole)], whole)
					checkBeginning(t, got[len(whole):], second.stream)
					if !killed {
						decodes(t, write(t, "all.ts", got))
					}
				})
			}
		}
	}
}

// checkBeginning checks that all of a stream came, with nothing but announcements put in, and that it decodes.
func checkBeginning(t *testing.T, got, want []byte) {
	t.Helper()
	var payload []byte
	for p := range slices.Chunk(got, mpegts.PacketSize) {
		if packet := mpegts.Packet(p); packet.HasPayload() || !packet.Discontinuity() {
			payload = append(payload, p...)
		}
	}
	if !bytes.Equal(payload, want) {
		t.Errorf("%d bytes came of %d, announcements apart", len(payload), len(want))
	}
	decodes(t, write(t, "alone.ts", got))
}
