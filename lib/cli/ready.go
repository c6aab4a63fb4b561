package cli

import (
	"net"
	"os"
)

// NotifyReady notifies systemd, or another program that has set NOTIFY_SOCKET, that the tool is ready (sd_notify(3)).
// Without such a program it does nothing.
func NotifyReady() {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"}) // "@" is an abstract one
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("READY=1"))
}
