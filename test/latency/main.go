// Command latency measures how long a stream takes through a pipeline: it publishes frames as a camera does, over HTTP,
// takes them back as the websocket server at the other end, and compares the times, all on one clock.
//
//	latency 'vw-ingest --once --listen 127.0.0.1:0 | vw-push "$TO"'
//
// The pipeline is run by bash. TO is the URL to push to; where to publish, vw-ingest says on stderr.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/wsconn"
)

func main() {
	frames := flag.Int("frames", 250, "how many frames, 25 a second")
	flag.Parse()
	if flag.NArg() != 1 || *frames < 1 {
		fmt.Fprintln(os.Stderr, "usage: latency [-frames N] PIPELINE")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *frames); err != nil {
		fmt.Fprintln(os.Stderr, "latency:", err)
		os.Exit(1)
	}
}

// processTimeout is how long the pipeline may take to start, and to end.
const processTimeout = 30 * time.Second

func run(pipeline string, frames int) error {
	m := &meter{expected: frames, connected: make(chan struct{}), complete: make(chan struct{})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: m}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 2*processTimeout+time.Duration(frames)*time.Second/25)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", pipeline)
	cmd.Env = append(os.Environ(), "TO=ws://"+listener.Addr().String()+"/")
	cmd.WaitDelay = processTimeout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ingest, err := listening(stderr)
	if err == nil {
		err = m.measure(ctx, ingest)
	}
	if err != nil {
		cancel()
	}
	_, _ = io.Copy(io.Discard, stderr)
	return errors.Join(err, cmd.Wait(), m.print(os.Stdout))
}

// listening reads the log of a pipeline up to the line in which vw-ingest says where it listens.
func listening(log io.Reader) (url string, err error) {
	line := regexp.MustCompile(`msg=listening .*url=(\S+)`)
	var said []byte
	for lines := bufio.NewScanner(log); lines.Scan(); said = append(append(said, lines.Bytes()...), '\n') {
		if m := line.FindSubmatch(lines.Bytes()); m != nil {
			return string(m[1]), nil
		}
	}
	return "", fmt.Errorf("no vw-ingest listens in the pipeline; it said:\n%s", said)
}

// meter knows when each frame was sent, and when its last byte came.
type meter struct {
	expected            int // frames
	connected, complete chan struct{}
	once                sync.Once

	mu      sync.Mutex
	ends    []int64 // of each frame, in bytes from the start of the stream
	sent    []time.Time
	arrived int64
	delays  []time.Duration
}

// measure publishes the frames when the pipeline has connected, and waits until all have come back.
func (m *meter) measure(ctx context.Context, url string) error {
	timer := time.NewTimer(processTimeout)
	defer timer.Stop()
	select {
	case <-m.connected:
	case <-timer.C:
		return errors.New("the pipeline did not connect")
	}
	if err := m.publish(url); err != nil {
		return err
	}
	select {
	case <-m.complete:
		return nil
	case <-ctx.Done():
		return errors.New("not all frames arrived")
	}
}

func (m *meter) publish(url string) error {
	r, w := io.Pipe()
	posted := make(chan error, 1)
	go func() {
		resp, err := http.Post(url, "video/mp2t", r)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusNoContent {
				err = fmt.Errorf("%s answered %s", url, resp.Status)
			}
		}
		posted <- err
		r.CloseWithError(err)
	}()
	// 1.35 Mbit/s: 19 kB for a keyframe, 6 kB for the others.
	g := tsgen.New(tsgen.Options{GOP: 12, KeyPackets: 100, FramePackets: 30})
	tick := time.NewTicker(time.Second / 25)
	defer tick.Stop()
	end := int64(0)
	for range m.expected {
		<-tick.C
		frame := g.Frame(nil)
		end += int64(len(frame))
		m.mu.Lock()
		m.ends, m.sent = append(m.ends, end), append(m.sent, time.Now())
		m.mu.Unlock()
		if _, err := w.Write(frame); err != nil {
			break
		}
	}
	w.Close()
	return <-posted
}

// ServeHTTP takes the pipeline's connection.
func (m *meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := wsconn.Accept(w, r, wsconn.AcceptOptions{})
	if err != nil {
		return
	}
	defer conn.CloseNow()
	m.once.Do(func() { close(m.connected) })
	buf := make([]byte, 64<<10)
	for {
		_, message, err := conn.NextMessage(context.Background())
		if err != nil {
			return
		}
		for {
			n, err := message.Read(buf)
			m.add(n)
			if err != nil {
				break
			}
		}
	}
}

func (m *meter) add(n int) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.arrived += int64(n)
	for len(m.delays) < len(m.ends) && m.ends[len(m.delays)] <= m.arrived {
		m.delays = append(m.delays, now.Sub(m.sent[len(m.delays)]))
		if len(m.delays) == m.expected {
			close(m.complete)
		}
	}
}

func (m *meter) print(w io.Writer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.delays) == 0 {
		return nil
	}
	slices.Sort(m.delays)
	at := func(p float64) time.Duration {
		return m.delays[min(int(p*float64(len(m.delays))), len(m.delays)-1)].Round(time.Microsecond)
	}
	_, err := fmt.Fprintf(w,
		"latency of %d frames, publisher's write to receiver's read: median %v, 90%% %v, 99%% %v, max %v\n",
		len(m.delays), at(0.5), at(0.9), at(0.99), at(1))
	return err
}
