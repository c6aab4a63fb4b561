package test

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// throughCaddy: a camera at the relay of the step before, and a viewer, both through Caddy as README.md configures it.
var throughCaddy = step{run: func(r *recipeRun, command string) {
	caddy, err := exec.LookPath("caddy")
	if file := unpackedFile(r.t, "caddy"); file != "" {
		caddy = file
	} else if err != nil {
		r.t.Log("SKIPPED: caddy is not installed (scripts/test as root unpacks it)")
		return
	}
	port := freePort(r.t)
	a := newAuthority(r.t)
	cert, key := a.server("127.0.0.1")
	documented := regexp.MustCompile("(?s)```caddy\n(.*?)```").FindSubmatch(read(r.t, "../README.md"))
	if documented == nil {
		r.t.Fatal("README.md has no configuration of Caddy")
	}
	config := "{\n\tadmin off\n\tauto_https off\n}\n" + strings.NewReplacer(
		"relay.example.org {", "https://:"+port+" {\n\tbind 127.0.0.1\n\ttls "+cert+" "+key,
		"127.0.0.1:8081", "127.0.0.1:"+r.names["INGEST"],
		"127.0.0.1:8082", "127.0.0.1:"+viewersPort(r.relay)).Replace(string(documented[1]))
	start(r.t, wiring{}, caddy, "run", "--adapter", "caddyfile", "--config", write(r.t, "Caddyfile", []byte(config)))
	testwait.Eventually(r.t, "Caddy listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})

	publishers := func() int { return strings.Count(r.relay.stderr.String(), `msg="publisher began"`) }
	before := publishers()
	r.names["CADDY"] = "https://127.0.0.1:" + port
	camera := r.begin(command, nil)
	testwait.Eventually(r.t, "the camera is there", func() bool { return publishers() > before })

	trust := &tls.Config{RootCAs: a.pool()}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequest(http.MethodGet, r.names["CADDY"]+"/"+r.token("viewers")+"/", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Host = "relay.example.org" // as a browser asks for it
	page, err := client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	page.Body.Close()
	if page.StatusCode != http.StatusOK {
		r.t.Errorf("the page through Caddy: %s", page.Status)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), testTimeout)
	defer cancel()
	address := "wss://127.0.0.1:" + port + "/" + r.token("viewers") + "/cam1"
	conn, err := wsconn.Dial(ctx, address, wsconn.DialOptions{TLS: trust})
	if err != nil {
		r.t.Fatal(err)
	}
	_, m, err := conn.NextMessage(ctx)
	packet := new(bytes.Buffer)
	if err == nil {
		_, err = packet.ReadFrom(m)
	}
	if err != nil || !bytes.HasPrefix(packet.Bytes(), []byte{0x47}) {
		r.t.Errorf("a viewer through Caddy got %v %x", err, packet)
	}
	conn.CloseNow()
	r.stop()
	camera.wait()
}}

// viewersPort is where a vw-push waits for viewers.
func viewersPort(p *process) string {
	p.t.Helper()
	return p.find(p.stderr, `msg="listening for viewers".*url=\S+:(\d+)`)
}
