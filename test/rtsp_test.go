package test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/timdrysdale/vw/internal/testwait"
)

// rtspCamera starts a camera with RTSP that gives its picture inside the connection (RFC 2326, 10.12), to one client at
// a time, and returns its address. ffmpeg makes the packets.
func rtspCamera(t *testing.T) string {
	t.Helper()
	packets, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	description := filepath.Join(t.TempDir(), "camera.sdp")
	start(t, wiring{}, "ffmpeg", "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-f", "rtp", "-sdp_file",
		description, "rtp://"+packets.LocalAddr().String())
	var sdp string
	testwait.Eventually(t, "the camera describes itself", func() bool {
		files, _ := filepath.Glob(description)
		if len(files) == 1 {
			sdp = string(read(t, description))
		}
		return strings.Contains(sdp, "a=rtpmap")
	})
	sdp = regexp.MustCompile(`m=video \d+`).ReplaceAllString(sdp, "m=video 0")
	sdp = strings.ReplaceAll(sdp, "127.0.0.1", "0.0.0.0")
	sdp = strings.TrimSpace(sdp[strings.Index(sdp, "v=0"):]) + "\r\na=control:track1\r\n"
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serveRTSP(conn, sdp, packets)
		}
	}()
	t.Cleanup(func() { ln.Close(); packets.Close(); <-done })
	return ln.Addr().String()
}

// serveRTSP answers a client, and sends it the packets from PLAY on, until it or the packets end.
func serveRTSP(conn net.Conn, sdp string, packets *net.UDPConn) {
	defer conn.Close()
	in := textproto.NewReader(bufio.NewReader(conn))
	for {
		request, err := in.ReadLine()
		if err != nil {
			return
		}
		header, err := in.ReadMIMEHeader()
		if err != nil {
			return
		}
		method, rest, _ := strings.Cut(request, " ")
		url, _, _ := strings.Cut(rest, " ")
		more, body := "Session: 1\r\n", ""
		switch method {
		case "OPTIONS":
			more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
		case "DESCRIBE":
			body = sdp
			more = fmt.Sprintf("Content-Base: %s/\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n", url,
				len(sdp))
		case "SETUP":
			more += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
		}
		_, err = fmt.Fprintf(conn, "RTSP/1.0 200 OK\r\nCSeq: %s\r\n%s\r\n%s", header.Get("CSeq"), more, body)
		if err != nil || method == "TEARDOWN" {
			return
		}
		if method == "PLAY" {
			go func() { _, _ = io.Copy(io.Discard, conn) }() // keep-alives, and the client's reports
			forward(conn, packets)
			return
		}
	}
}

// forward sends RTP packets in the connection: a dollar sign, the channel, the length.
func forward(conn net.Conn, packets *net.UDPConn) {
	b := make([]byte, 4+1<<16)
	b[0] = '$'
	for {
		n, err := packets.Read(b[4:])
		if err != nil {
			return
		}
		binary.BigEndian.PutUint16(b[2:], uint16(n))
		if _, err := conn.Write(b[:4+n]); err != nil {
			return
		}
	}
}
