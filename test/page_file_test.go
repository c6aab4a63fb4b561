package test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen/remux"
)

// TestPlayersPlayFiles: a file that is not the first of a stream whose parameter sets came only once plays in mpegts.js
// and in jsmpeg, from its first picture on.
func TestPlayersPlayFiles(t *testing.T) {
	needPlayers(t)
	const perFile, gop = 50, 25
	for codec, page := range map[string]string{
		"h264": `<video id="player" muted></video><script src="/mpegts.js"></script><script>
const player = mpegts.createPlayer({ type: 'mpegts', isLive: false, url: location.origin + '/second.ts' })
player.attachMediaElement(document.getElementById('player'))
player.load()</script>`,
		"mpeg1": `<canvas id="player"></canvas><script src="/jsmpeg.js"></script><script>
const canvas = document.getElementById('player')
const player = new JSMpeg.Player('/second.ts', { canvas, audio: false, loop: false, autoplay: true })
</script>`,
	} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			kind := map[string]mpegts.StreamType{"h264": mpegts.StreamH264, "mpeg1": mpegts.StreamMPEG1Video}[codec]
			args := readableCamera{codec: codec, size: "640x360", gop: gop}.args("-")
			args = slices.DeleteFunc(args, func(arg string) bool { return arg == "-re" })
			args = slices.Insert(args, len(args)-1, "-t", fmt.Sprint(3*perFile/25))
			source, err := exec.Command(tool(t, "ffmpeg"), args...).Output()
			if err != nil {
				t.Fatal(err)
			}
			o := remux.Options{Codec: kind, HeadersOnce: true}
			stream := remux.Stream(source, videoPID(t, write(t, "source.ts", source)), o)
			folder := t.TempDir()
			manifest := filepath.Join(folder, "m.jsonl")
			start(t, wiring{stdin: bytes.NewReader(stream)}, "vw-record", "--quiet", "--rotate-frames",
				fmt.Sprint(perFile), "--manifest", manifest, filepath.Join(folder, "x.ts")).expect(0)
			r, _ := readRecording(t, folder, manifest)
			if len(r.entries) < 3 || r.entries[1].Injected == 0 || r.entries[1].Frames != perFile {
				t.Fatalf("files: %+v", r.entries)
			}
			second := filepath.Join(folder, r.entries[1].File)

			const players = "../lib/viewer/page/static/assets/players"
			site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/":
					fmt.Fprint(w, `<!doctype html><link rel="icon" href="data:,">`, page)
				case "/mpegts.js", "/jsmpeg.js":
					w.Header().Set("Content-Type", "text/javascript")
					w.Header().Set("Content-Encoding", "gzip")
					http.ServeFile(w, r, filepath.Join(players, r.URL.Path+".gz"))
				case "/second.ts":
					http.ServeFile(w, r, second)
				default:
					http.NotFound(w, r)
				}
			}))
			t.Cleanup(site.Close) // after the browser has ended
			tab := openTab(t, site.URL)
			tab.until("the first picture", func(s sight) bool { return s.Frame >= 0 })
			// mpegts.js shows the first picture and waits; jsmpeg goes on at once.
			if n := tab.last.Frame; codec == "h264" && n != perFile || n < perFile || n >= perFile+gop {
				t.Errorf("the first picture is number %d, want %d", n, perFile)
			}
			if codec == "h264" {
				tab.do("eval void player.play()")
			}
			// mpegts.js does not show the very last picture.
			tab.until("the last pictures", func(s sight) bool { return s.Frame >= 2*perFile-3 })
			tab.silent()
		})
	}
}
