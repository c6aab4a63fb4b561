package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/timdrysdale/vw/internal/testwait"
)

// indented returns the indented blocks of a page that contain a text, without the indentation.
func indented(t testing.TB, page, containing string) (blocks []string) {
	t.Helper()
	for _, block := range regexp.MustCompile(`(?m)(^(    .*)?\n)+`).FindAllString(string(read(t, page)), -1) {
		if strings.Contains(block, containing) {
			blocks = append(blocks, strings.TrimSpace(regexp.MustCompile(`(?m)^    `).ReplaceAllString(block, "")))
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no block with %q", page, containing)
	}
	return blocks
}

// TestNATSScalePage runs what docs/scale.md says of three nodes: its configuration, and its commands.
func TestNATSScalePage(t *testing.T) {
	t.Parallel()
	const page = "../docs/scale.md"
	addrs := freeAddrs(t, 9)
	clients, routes, leaves := addrs[:3], addrs[3:6], addrs[6:]
	replace := []string{"127.0.0.1:8082", "127.0.0.1:0", "film.ts", sample("mpeg1.ts")}
	for i, name := range []string{"a", "b", "c"} {
		replace = append(replace, name+".example.org:6222", routes[i], name+".example.org:7422", leaves[i],
			name+".example.org", clients[i])
	}
	hosts := strings.NewReplacer(replace...)
	config := hosts.Replace(indented(t, page, "server_name: a")[0])
	c := &natsCluster{t: t}
	for i, name := range []string{"a", "b", "c"} {
		n := &natsNode{t: t, name: name, folder: t.TempDir()}
		own := strings.NewReplacer("server_name: a", "server_name: "+name, "0.0.0.0:4222", clients[i],
			"0.0.0.0:6222", routes[i], "0.0.0.0:7422", leaves[i], "/var/lib/nats", filepath.Join(n.folder, "store"))
		n.config = own.Replace(config)
		n.start()
		c.nodes = append(c.nodes, n)
	}
	shell := func(script string) *process {
		p := start(t, wiring{env: []string{"PATH=" + filepath.Dir(tool(t, "vw-nats")) + ":" + os.Getenv("PATH")}}, "sh",
			"-c", hosts.Replace(script))
		return p
	}
	create := indented(t, page, "--create --retain CAM1")[0]
	testwait.Eventually(t, "a stream on three nodes", func() bool { return shell(create).wait() == 0 })
	commands := strings.Split(indented(t, page, "film.ts")[0], "\n\n")
	if len(commands) != 2 {
		t.Fatalf("%d commands for the camera and its page", len(commands))
	}
	watch := shell(commands[1])
	url := ingestURL(watch)
	viewed := filepath.Join(t.TempDir(), "viewed.ts")
	viewer := shell(fmt.Sprintf("vw-ingest --pull %s >%s", strings.Replace(url, "http://", "ws://", 1), viewed))
	camera := shell(commands[0])
	grows(t, viewed, 200_000)
	camera.expect(0)
	viewer.signal(syscall.SIGKILL)

	site := &natsNode{t: t, name: "site1", folder: t.TempDir()}
	site.config = strings.NewReplacer("127.0.0.1:4222", "127.0.0.1:-1", "/var/lib/nats", site.folder).
		Replace(hosts.Replace(indented(t, page, "domain: site1")[0]))
	site.start()
	store := strings.NewReplacer("ffmpeg … -f mpegts -", "cat "+sample("mpeg1.ts"), "vw-nats pub",
		"vw-nats pub --server "+site.url)
	siteToo := strings.Split(indented(t, page, "--retain SITE1")[0], "\n\n")
	shell(store.Replace(siteToo[0])).expect(0)

	ts := read(t, sample("mpeg1.ts"))
	as := func(user string) string {
		return regexp.MustCompile(user + `:[^@]*@\S+`).FindString(hosts.Replace(create + strings.Join(commands, "\n")))
	}
	for _, args := range [][]string{
		{"pub", "--live", "--server", "nats://" + as("viewer"), "cam.1"},
		{"pub", "--live", "--server", "nats://" + as("camera1"), "cam.2"},
	} {
		p := start(t, wiring{stdin: bytes.NewReader(ts)}, "vw-nats", args...)
		p.expect(1)
		p.find(p.stderr, `(?i)error: .*permissions violation.*publish`)
	}
	createStream(t, "nats://"+as("admin"), indented(t, page, `"name": "KEEP1"`)[0])
	command, _, _ := strings.Cut(siteToo[1], " | ")
	args := append([]string{"--server", "nats://" + as("admin")}, strings.Fields(command)[2:]...)
	stored, file := startSub(t, args...)
	grows(t, file, int64(len(ts)))
	stored.signal(syscall.SIGTERM)
	stored.expect(0)
	same(t, "what the site has stored", read(t, file), ts)

	sub, _ := startSub(t, "--live", "--server", "nats://"+as("camera1"), "cam.1")
	sub.expect(1)
	sub.find(sub.stderr, `(?i)error: .*permissions violation.*subscription`)
}

// createStream makes a JetStream stream of its configuration in JSON.
func createStream(t *testing.T, url, config string) {
	t.Helper()
	var c jetstream.StreamConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	testwait.Eventually(t, "the stream "+c.Name, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err := js.CreateStream(ctx, c)
		return err == nil
	})
}
