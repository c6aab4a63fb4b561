// Command vw-push carries standard input to one or more websocket servers and to viewers.
package main

import "github.com/timdrysdale/vw/internal/tool/vwpush"

func main() { vwpush.Main() }
