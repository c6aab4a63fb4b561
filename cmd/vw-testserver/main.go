// Command vw-testserver receives what websocket publishers send, checks it, and gives a verdict.
package main

import "github.com/timdrysdale/vw/internal/tool/vwtestserver"

func main() { vwtestserver.Main() }
