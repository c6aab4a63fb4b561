// Command vw-record records standard input to files that follow each other, each of which plays alone.
package main

import "github.com/timdrysdale/vw/internal/tool/vwrecord"

func main() { vwrecord.Main() }
