package test

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/internal/testwait"
)

// crowd is an attacker that costs next to nothing: one thread whose system calls never wait.
type crowd struct {
	to        unix.SockaddrInet4
	addresses int // from which it comes: 127.1.0.0 and those after it
	send      []byte
	keep      int // so many connections stay open; what an older one was answered is read when it is closed

	offered, answered atomic.Int64
	stop, done        chan struct{}
	since             time.Time
}

// crowd attacks with so many connections a second from so many addresses. Each sends a text.
func (d *door) crowd(perSecond, addresses int, send string, keep int) *crowd {
	d.t.Helper()
	to := netip.MustParseAddrPort(d.addr)
	c := &crowd{
		to:        unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()},
		addresses: addresses, send: []byte(send), keep: keep,
		stop: make(chan struct{}), done: make(chan struct{}), since: time.Now(),
	}
	go c.attack(perSecond)
	return c
}

func (c *crowd) attack(perSecond int) {
	defer close(c.done)
	runtime.LockOSThread()
	open := make([]int, c.keep) // a ring
	for i := range open {
		open[i] = -1
	}
	defer func() {
		for _, fd := range open {
			c.close(fd)
		}
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	n := 0
	for {
		select {
		case <-c.stop:
			return
		case <-tick.C:
		}
		// What a busy machine has missed is made up for, but not at once.
		due := min(int(time.Since(c.since).Seconds()*float64(perSecond)), n+perSecond/100)
		for ; n < due; n++ {
			c.close(open[n%c.keep])
			open[n%c.keep] = c.connect(n)
		}
	}
}

// connect opens the n-th connection. On one machine it is open when connect returns, unless the listener has no room.
func (c *crowd) connect(n int) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	n %= c.addresses
	err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 1, byte(n >> 8), byte(n)}})
	if err == nil {
		err = unix.Connect(fd, &c.to)
	}
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1
	}
	c.offered.Add(1)
	if len(c.send) > 0 {
		_, _ = unix.Write(fd, c.send)
	}
	return fd
}

func (c *crowd) close(fd int) {
	if fd < 0 {
		return
	}
	if len(c.send) > 0 {
		var answer [512]byte
		if n, err := unix.Read(fd, answer[:]); err == nil && n > 0 {
			c.answered.Add(1)
		}
	}
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // leaves nothing behind
	unix.Close(fd)
}

// rate returns how many connections a second there have been.
func (c *crowd) rate() float64 { return float64(c.offered.Load()) / time.Since(c.since).Seconds() }

// end ends the attack.
func (c *crowd) end() {
	close(c.stop)
	<-c.done
}

// newcomers connects twenty times from other addresses, four at a time, and sends each header 200 ms later. It returns
// how many got in: the answer is 409, since somebody publishes.
func (d *door) newcomers() int {
	var in atomic.Int64
	for range 5 {
		var four sync.WaitGroup
		for n := range 4 {
			four.Go(func() {
				from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+n))}
				dialer := net.Dialer{LocalAddr: from, Timeout: testTimeout}
				conn, err := dialer.Dial("tcp", d.addr)
				if err != nil {
					return
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(testTimeout))
				time.Sleep(200 * time.Millisecond) // a slow link
				if _, err := io.WriteString(conn, chunkedPost); err == nil && statusOf(conn) == 409 {
					in.Add(1)
				}
			})
		}
		four.Wait()
	}
	return int(in.Load())
}

// TestDoorInACrowd: whatever crowd stands before the door, the publisher inside is not disturbed, and who has the token
// gets in.
func TestDoorInACrowd(t *testing.T) {
	const wrongPost = "POST /wrong HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
	for name, c := range map[string]struct {
		perSecond, addresses int
		send                 string
		keep                 int
	}{
		"2000 wrong tokens a second":     {2000, 64, wrongPost, 400},
		"5000 idle connections a second": {5000, 64, "", 3200},
		// More than may wait, and yet each comes again.
		"5000 idle ones of 4096 addresses": {5000, 4096, "", 3200},
	} {
		t.Run(name, func(t *testing.T) {
			d := openDoor(t, "--token-file", tokenFile(t))
			good := d.publish()
			crowd := d.crowd(c.perSecond, c.addresses, c.send, c.keep)
			testwait.Eventually(t, "each address has come twice", func() bool {
				return crowd.offered.Load() > 2*int64(c.addresses)
			})
			if in := d.newcomers(); in != 20 {
				t.Errorf("%d of 20 newcomers got in", in)
			}
			t.Logf("%.0f connections a second, %d answered", crowd.rate(), crowd.answered.Load())
			crowd.end()
			good.end()
		})
	}
}
