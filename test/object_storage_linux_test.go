package test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/record"
)

// objectStore is an S3 server behind a link, and the folder of a recorder that carries its files there.
type objectStore struct {
	t       *testing.T
	program string
	addr    string
	objects string // the server's folder
	folder  string // the recorder's
	link    *link
	cut     atomic.Bool // the next connections are halted in their upload
	server  *process
	script  string // of the recipe
	env     []string
}

func newObjectStore(t *testing.T, command string) *objectStore {
	t.Helper()
	tool(t, "rclone")
	program, err := filepath.Abs(filepath.Join("s3", "versitygw"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Skipf("SKIPPED: %v; scripts/test installs it", err)
	}
	s := &objectStore{t: t, program: program, addr: freeAddress(t), folder: memoryFolder(t)}
	s.objects = filepath.Join(s.folder, "objects")
	for _, dir := range []string{s.objects, filepath.Join(s.folder, "rec")} {
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	s.link = newLink(t, listen(t), func(int) plan {
		if s.cut.Load() {
			return plan{to: s.addr, after: 20_000, halt: true}
		}
		return plan{to: s.addr}
	})
	s.script = strings.Replace(recipe(t, "object-storage.md"), "--rotate-time 10m", "--rotate-frames 25", 1)
	s.script = strings.Replace(s.script, "rclone copyto", "rclone "+command, 1)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") { // rclone would take them for its own
			s.env = append(s.env, v)
		}
	}
	s.env = append(s.env, "S3_ENDPOINT=http"+strings.TrimPrefix(s.link.url, "ws"), "S3_KEY=key",
		"S3_SECRET=secretsecret",
		"PATH="+filepath.Dir(tool(t, "vw-record"))+":"+os.Getenv("PATH"))
	s.start()
	setup, _, _ := strings.Cut(s.script, "vw-record ")
	testwait.Eventually(t, "the bucket is made", func() bool {
		mkdir := exec.Command("sh", "-c", setup+"rclone mkdir --retries 1 store:recordings")
		mkdir.Env = s.env
		return mkdir.Run() == nil
	})
	return s
}

// start starts the server.
func (s *objectStore) start() {
	s.t.Helper()
	s.server = start(s.t, wiring{}, "env", "ROOT_ACCESS_KEY=key", "ROOT_SECRET_KEY=secretsecret", s.program,
		"--port", s.addr, "posix", s.objects)
}

// record starts the recipe, with the recorder in the shell's place.
func (s *objectStore) record(in *os.File) *exec.Cmd {
	s.t.Helper()
	cmd := exec.Command("sh", "-c", strings.Replace(s.script, "vw-record ", "exec vw-record --quiet ", 1))
	cmd.Dir, cmd.Env, cmd.Stdin = s.folder, s.env, in
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func (s *objectStore) stored() []string {
	names, _ := filepath.Glob(filepath.Join(s.objects, "recordings", "*.ts"))
	return names
}

func (s *objectStore) isStored(n int) {
	s.t.Helper()
	testwait.Eventually(s.t, "files arrive", func() bool { return len(s.stored()) >= n })
}

// recorded is how many files have been finished, here or carried away.
func (s *objectStore) recorded() int {
	b, _ := os.ReadFile(filepath.Join(s.folder, "rec", "cam1.jsonl"))
	return bytes.Count(b, []byte(`"exec":"todo"`))
}

// TestObjectStorageOutage records into object storage while the server is killed and away (VW_TEST_OUTAGE seconds), the
// network dies, and the recorder is killed with kill -9 in the middle of an upload. Every file is there in the end,
// whole, and none was deleted before; with rclone moveto none is left here.
func TestObjectStorageOutage(t *testing.T) {
	t.Parallel()
	outage := time.Duration(setting(t, "VW_TEST_OUTAGE", 3)) * time.Second
	for _, command := range []string{"copyto", "moveto"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			s := newObjectStore(t, command)
			r, w := pipe(t)
			recorder := s.record(r)
			stop := make(chan struct{})
			sent := feed(t, w, tsgen.Options{GOP: 5, KeyPackets: 20, FramePackets: 10}, 1<<20, 20*time.Millisecond,
				stop)

			s.isStored(2)
			s.server.signal(os.Kill)
			s.server.wait()
			away := s.recorded()
			time.Sleep(outage)
			testwait.Eventually(t, "files pile up", func() bool { return s.recorded() >= away+2 })
			s.start()
			s.isStored(away + 2)

			revive := s.link.die()
			dead := s.recorded()
			testwait.Eventually(t, "files pile up", func() bool { return s.recorded() >= dead+2 })
			revive()
			s.isStored(dead + 2)

			s.cut.Store(true)
			upload := <-s.link.due
			if err := recorder.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = recorder.Wait()
			s.cut.Store(false)
			s.link.reset(upload)
			recorder = s.record(r)
			s.isStored(len(s.stored()) + 2)

			close(stop)
			source := <-sent
			r.Close()
			if err := recorder.Wait(); err != nil {
				t.Fatalf("vw-record: %v", err)
			}
			s.check(command == "moveto", source)
		})
	}
}

// check holds the objects, the recorder's folder, its manifest and its playlist against each other and the source.
func (s *objectStore) check(moved bool, source []byte) {
	s.t.Helper()
	manifest := filepath.Join(s.folder, "rec", "cam1.jsonl")
	playlist := string(read(s.t, filepath.Join(s.folder, "rec", "cam1.m3u8")))
	hashes := make(map[string]string)
	for line := range bytes.Lines(read(s.t, manifest)) {
		var e record.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		if e.Reason != "" { // else it is about the command of --exec
			hashes[e.File] = e.SHA256
		}
	}
	names := s.stored()
	arrived := 0
	covered := make(map[int]bool) // packets of the source
	for _, name := range names {
		b, base := read(s.t, name), filepath.Base(name)
		arrived += len(b)
		at := bytes.Index(source, b)
		for i := at; at >= 0 && i < at+len(b); i += mpegts.PacketSize {
			if covered[i] {
				s.t.Fatalf("%s has packets that another file has, too", base)
			}
			covered[i] = true
		}
		sum := sha256.Sum256(b)
		switch isListed := strings.Contains(playlist, base); {
		case at < 0:
			s.t.Errorf("%s, %d bytes, is not of the source", base, len(b))
		case isListed == moved:
			s.t.Errorf("%s is in the playlist: %v", base, isListed)
		// What has been moved away has a line until the manifest is compacted.
		case (!moved || hashes[base] != "") && hashes[base] != hex.EncodeToString(sum[:]):
			s.t.Errorf("%s is not what the manifest says", base)
		}
		delete(hashes, base)
	}
	here, _ := filepath.Glob(filepath.Join(s.folder, "rec", "*.ts"))
	wantHere := len(names)
	if moved {
		wantHere = 0
	}
	if len(here) != wantHere || len(hashes) > 0 {
		s.t.Errorf("%d files are here, want %d; %d lines are of files that have not arrived", len(here), wantHere,
			len(hashes))
	}
	lost := len(source) - arrived // what the recorder had read and not written when it was killed
	s.t.Logf("%d objects; %d of %d bytes were lost with the process", len(names), lost, len(source))
	if lost < 0 || lost > 256<<10 {
		s.t.Errorf("%d bytes of %d are missing", lost, len(source))
	}
}
