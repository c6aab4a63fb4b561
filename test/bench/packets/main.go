// Command packets cuts a stream again and again, for programs that count instructions: docs/dev/cost.md says how.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: packets FILE TIMES")
	}
	data, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	times, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	data = data[:len(data)/mpegts.PacketSize*mpegts.PacketSize]
	readers := make([]io.Reader, times)
	for i := range readers {
		readers[i] = pieces{bytes.NewReader(data)}
	}
	r := stream.NewReader(io.MultiReader(readers...), stream.ReaderOptions{Format: stream.TS})
	defer r.Close()
	for err == nil {
		_, err = r.Next()
	}
	if !errors.Is(err, io.EOF) {
		log.Fatal(err)
	}
	fmt.Println(len(data)/mpegts.PacketSize, "packets")
}

// pieces are what a camera's frames bring: 4 KiB at a time.
type pieces struct{ io.Reader }

func (p pieces) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), 4096)]) }
