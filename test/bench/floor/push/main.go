// Command push is the least that vw-push can be in Go: what a read of standard input finds is a message.
package main

//lint:file-ignore SA1019 It is what the tools use.

import (
	"context"
	"log"
	"os"

	"nhooyr.io/websocket"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: push PORT")
	}
	ctx := context.Background()
	conn, _, err := websocket.Dial(ctx, "ws://127.0.0.1:"+os.Args[1]+"/cam", nil)
	if err != nil {
		log.Fatal(err)
	}
	for b := make([]byte, 64<<10); ; {
		n, err := os.Stdin.Read(b)
		if err != nil {
			break
		}
		if err := conn.Write(ctx, websocket.MessageBinary, b[:n]); err != nil {
			log.Fatal(err)
		}
	}
	_ = conn.Close(websocket.StatusNormalClosure, "")
}
