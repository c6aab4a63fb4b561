package test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/timdrysdale/vw/internal/testwait"
)

// The kinds of recipes. Each runs a command, uses it as a person would, and ends it.
var (
	// onPage: a camera on a page.
	onPage = step{run: func(r *recipeRun, command string) {
		p := r.begin(command, nil)
		r.watches(p, command)
		r.end(p)
	}}

	// inFiles: a camera in files.
	inFiles = step{run: func(r *recipeRun, command string) {
		p := r.begin(command, nil)
		r.recordings()
		r.end(p)
	}}

	// atServer: a camera at a server.
	atServer = step{run: func(r *recipeRun, command string) {
		p := r.begin(command, nil)
		r.server.receives(1, 20_000)
		r.end(p)
		r.server.expect(0)
	}}

	// asRelay: publishers come, viewers watch. It goes on for the next step.
	asRelay = step{run: func(r *recipeRun, command string) {
		r.stop()
		r.relay = r.begin(command, nil)
		r.posts(r.relay)
		r.watches(r.relay, command)
	}}

	// toRelay: a camera at the relay of the step before.
	toRelay = step{run: func(r *recipeRun, command string) {
		publishers := func() int { return strings.Count(r.relay.stderr.String(), `msg="publisher began"`) }
		before := publishers()
		camera := r.begin(command, nil)
		testwait.Eventually(r.t, "the camera is there", func() bool { return publishers() > before })
		r.stop()
		camera.wait()
	}}

	// relayPushes: a relay that passes on to a server, and may record and show the stream.
	relayPushes = step{run: func(r *recipeRun, command string) {
		p := r.begin(command, nil)
		size := r.posts(p)
		if strings.Contains(command, "--listen :") {
			r.watches(p, command)
		}
		r.server.receives(1, int(size))
		r.end(p)
		r.server.expect(0)
	}}

	// passes: a test's own script that ends well.
	passes = step{run: func(r *recipeRun, command string) {
		r.begin(command, nil).expect(0)
		if b := read(r.t, filepath.Join(r.dir, "report.json")); !bytes.Contains(b, []byte(`"passed":true`)) {
			r.t.Errorf("report: %s", b)
		}
	}}

	// accounts: a recorder that writes its ledger, and its status.
	accounts = step{run: func(r *recipeRun, command string) {
		p := r.begin(command, bytes.NewReader(read(r.t, sample("mpeg1.ts"))))
		p.expect(0)
		if p.stdout.String() != "exit status 0\n" {
			r.t.Errorf("%q", p.stdout)
		}
		if s, ok := readLedger(r.t, filepath.Join(r.dir, "account.json"), "vw-record"); !ok || s.Ended == nil {
			r.t.Errorf("the account: %+v", s)
		}
	}}

	// metrics: a recorder that writes its ledger for Prometheus.
	metrics = step{run: func(r *recipeRun, command string) {
		r.begin(command, bytes.NewReader(read(r.t, sample("mpeg1.ts")))).expect(0)
		if b := read(r.t, filepath.Join(r.dir, "cam1.prom")); !bytes.Contains(b, []byte("vw_in_bytes_total")) {
			r.t.Errorf("metrics: %s", b)
		}
	}}

	// lists: the files of a manifest that have not been carried away.
	lists = step{run: func(r *recipeRun, command string) {
		manifest := `{"file":"a.ts","exec":"todo"}` + "\n" + `{"file":"b.ts","exec":"todo"}` + "\n" +
			`{"file":"a.ts","exec":"done"}` + "\n" + `{"file":"c.ts","bytes":1}` + "\n"
		if err := os.MkdirAll(filepath.Join(r.dir, "rec"), 0o777); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(r.dir, "rec", "cam1.jsonl"), []byte(manifest), 0o666); err != nil {
			r.t.Fatal(err)
		}
		p := r.begin(command, nil)
		p.expect(0)
		if p.stdout.String() != "b.ts\n" {
			r.t.Errorf("%q is listed", p.stdout)
		}
	}}

	// practable: a camera at a relay whose addresses are good for one connection.
	practable = step{run: func(r *recipeRun, command string) {
		p := r.begin(command, nil)
		r.server.receives(1, 20_000)
		r.end(p)
		r.server.expect(0)
	}}

	// posted: what vw-ingest takes is recorded, and posted whole to a program on this machine.
	posted = step{run: func(r *recipeRun, command string) {
		var got bytes.Buffer
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.Method != http.MethodPost || q.URL.Path != "/ts/video" {
				r.t.Errorf("%s %s", q.Method, q.URL.Path)
			}
			_, _ = io.Copy(&got, q.Body)
		}))
		defer s.Close()
		r.names["POSTS"] = strings.TrimPrefix(s.URL, "http://127.0.0.1:")
		p := r.begin(command, nil)
		size := r.posts(p)
		r.end(p)
		s.Close() // waits for the handler
		if int64(got.Len()) != size || r.recordings() != size {
			r.t.Errorf("%d bytes came, %d were recorded, %d were sent", got.Len(), r.recordings(), size)
		}
	}}

	// toJSMpeg: what vw-ingest takes comes out of jsmpeg's own relay.
	toJSMpeg = step{run: func(r *recipeRun, command string) {
		r.stop()
		nodeModules(r.t)
		port, viewers := freePort(r.t), freePort(r.t)
		node := start(r.t, wiring{}, "node", "node/node_modules/jsmpeg-player/ws/websocket-relay.js", "SECRET", port,
			viewers)
		node.find(node.stdout, `Awaiting WebSocket connections`)
		r.names["INGEST"] = port
		p := r.begin(command, nil)
		r.posts(p)
		r.end(p) // although the relay does not answer
		node.find(node.stdout, `Stream Connected`)
	}}
)
