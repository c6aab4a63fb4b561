package test

import (
	"bytes"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestOtherMachines runs the tools of the packages for ARM in an emulator, through a whole pipeline: every byte arrives
// at the server and at a viewer, and is recorded.
func TestOtherMachines(t *testing.T) {
	t.Parallel()
	for arch, emulator := range map[string][]string{
		"arm64": {"qemu-aarch64"},
		"armhf": {"qemu-arm", "-cpu", "arm1176"}, // ARMv6: the first Raspberry Pi, and the Zero
	} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			tool(t, emulator[0])
			root := t.TempDir()
			run(t, "dpkg-deb", "--extract", debianPackage(t, arch), root)
			emulated(t, emulator, filepath.Join(root, "usr", "bin"))
		})
	}
}

// emulated sends a sample through a pipeline of the tools in a folder.
func emulated(t *testing.T, emulator []string, bin string) {
	folder := t.TempDir()
	command := func(w wiring, name string, args ...string) *process {
		t.Helper()
		return start(t, w, emulator[0], append(append(emulator[1:len(emulator):len(emulator)],
			filepath.Join(bin, name)), args...)...)
	}
	command(wiring{}, "vw-nats", "--version").expect(0)

	file := sampleFile(t, "mpeg1.ts")
	stream := read(t, file)
	server := command(wiring{}, "vw-testserver", "--listen", "127.0.0.1:0", "--conns", "1", "--timeout",
		testTimeout.String(), "--expect-file", file, "--expect-clean")
	address := server.find(server.stdout, `"event":"listening","url":"([^"]+)"`)

	toRecord, fromIngest := pipe(t)
	toPush, fromRecord := pipe(t)
	ledger := func(name string) string { return filepath.Join(folder, name+".json") }
	ingest := command(wiring{stdout: fromIngest}, "vw-ingest", "--once", "--listen", "127.0.0.1:0", "--ledger",
		ledger("ingest"))
	record := command(wiring{stdin: toRecord, stdout: fromRecord}, "vw-record", "--tee", "--ledger", ledger("record"),
		filepath.Join(folder, "cam1.ts"))
	push := command(wiring{stdin: toPush}, "vw-push", "--live", "--listen", "127.0.0.1:0", "--max-age",
		testTimeout.String(), "--ledger", ledger("push"), address+"/cam1")
	toRecord.Close()
	fromIngest.Close()
	toPush.Close()
	fromRecord.Close()

	url := push.find(push.stderr, `msg="listening for viewers".*url=(\S+)`)
	watched := &watched{process: push, http: url, ws: "ws" + strings.TrimPrefix(url, "http")}
	viewer := viewStream(t, watched.ws)
	watched.viewers(1)
	answer, err := http.Post(ingestURL(ingest)+"cam1", "", bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		t.Errorf("the publisher got %s", answer.Status)
	}
	same(t, "what the viewer got", viewer.end(1001), stream)
	for _, p := range []*process{ingest, record, push, server} {
		p.expect(0)
	}
	same(t, "the recording", read(t, filepath.Join(folder, "cam1.ts")), stream)
	for _, p := range []*process{ingest, record, push} {
		p.all(int64(len(stream)))
	}
}
