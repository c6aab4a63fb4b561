// Command vw-ingest listens for publishers of video over HTTP and websockets, and writes what they send to stdout.
package main

import "github.com/timdrysdale/vw/internal/tool/vwingest"

func main() { vwingest.Main() }
