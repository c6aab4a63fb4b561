// Command ingest is the least that vw-ingest can be in Go: it writes the body of one request to standard output.
package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: ingest PORT")
	}
	done := make(chan struct{})
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[1], Handler: http.HandlerFunc(func(_ http.ResponseWriter,
		r *http.Request) {
		if _, err := io.Copy(os.Stdout, r.Body); err != nil {
			log.Print(err)
		}
		close(done)
	})}
	go func() {
		<-done
		_ = server.Shutdown(context.Background()) // when the request is answered
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-done
}
