package wsconn

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"testing"
)

// BenchmarkWrite sends messages to a server that reads them. Allocations are those of both sides.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{188 * 7, 6580, 64 << 10, 256 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			url := serve(b, AcceptOptions{}, func(c *Conn) {
				for {
					_, r, err := c.NextMessage(context.Background())
					if err != nil {
						return
					}
					io.Copy(io.Discard, r)
				}
			})
			c := dial(b, url, DialOptions{})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Write(ctx, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPing is a round trip.
func BenchmarkPing(b *testing.B) {
	url := serve(b, AcceptOptions{}, drainMessages)
	c := dial(b, url, DialOptions{})
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Ping(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdle reports the memory of an accepted connection that waits for a message, with its HTTP server's share and
// the stacks.
func BenchmarkIdle(b *testing.B) {
	const conns = 200
	bytes := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse)
	}
	for b.Loop() {
		ready := make(chan struct{})
		url := serve(b, AcceptOptions{MaxMessage: 1 << 20}, func(c *Conn) {
			_, r, err := c.NextMessage(context.Background())
			if err != nil {
				return
			}
			io.Copy(io.Discard, r)
			ready <- struct{}{}
			drainMessages(c)
		})
		before := bytes()
		for range conns {
			// The client costs no memory of its own: it is a socket in another process's place.
			conn := rawClient(b, url)
			defer conn.Close()
			conn.Write([]byte{0x82, 0x85, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'})
			<-ready
		}
		b.ReportMetric(float64(bytes()-before)/conns, "B/conn")
	}
}
