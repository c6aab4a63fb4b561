package cli

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Stderr is standard error for logs and errors. Nobody may be reading it any more without having closed it: a line that
// finds no room for stderrPatience is left out, and so are those behind it until there is room again. A tool must not
// stop working, nor fail to end, because its log is stuck.
var Stderr io.Writer = &patient{file: os.Stderr}

const (
	stderrPatience = 100 // ms
	// pipeRoom is how many bytes a pipe takes without blocking when poll(2) says that it can be written to.
	pipeRoom = 4096
)

type patient struct {
	file *os.File

	mu    sync.Mutex
	stuck bool // there was no room the last time
}

func (p *patient) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for rest := b; len(rest) > 0; {
		if !p.room() {
			return len(b), nil
		}
		n, err := p.file.Write(rest[:min(len(rest), pipeRoom)])
		if err != nil {
			return len(b) - len(rest) + n, err
		}
		rest = rest[n:]
	}
	return len(b), nil
}

// room waits until something can be written.
func (p *patient) room() bool {
	patience := stderrPatience
	if p.stuck {
		patience = 0
	}
	for {
		fds := []unix.PollFd{{Fd: int32(p.file.Fd()), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, patience)
		if err == unix.EINTR {
			continue
		}
		// Where it cannot be told, the write will say.
		p.stuck = err == nil && n == 0
		return !p.stuck
	}
}
