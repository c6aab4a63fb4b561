// Command vw is vw-ingest, vw-push, vw-record and vw-testserver in one file, which processes that run different tools
// share in memory. It acts by the name that it is called by, that of a link to it, or by its first argument: "vw push"
// is vw-push.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/timdrysdale/vw/internal/tool/vwingest"
	"github.com/timdrysdale/vw/internal/tool/vwpush"
	"github.com/timdrysdale/vw/internal/tool/vwrecord"
	"github.com/timdrysdale/vw/internal/tool/vwtestserver"
	"github.com/timdrysdale/vw/lib/cli"
	"github.com/timdrysdale/vw/lib/cli/singleproc"
)

const usage = `usage: vw ingest|push|record|testserver [flags] [arguments]
vw is the tools vw-ingest, vw-push, vw-record and vw-testserver in one file. A link to it with the name of a tool is
that tool: ln -s vw vw-push. "vw push --help" lists the flags of vw-push.
`

var tools = map[string]func(){
	"vw-ingest": vwingest.Main,
	"vw-push":   vwpush.Main,
	"vw-record": vwrecord.Main,
	"vw-testserver": func() {
		runtime.GOMAXPROCS(singleproc.Before) // it is no pipe tool
		vwtestserver.Main()
	},
}

func main() {
	if tool := tools[filepath.Base(os.Args[0])]; tool != nil {
		tool()
		return
	}
	if len(os.Args) < 2 {
		fail()
	}
	switch name := os.Args[1]; name {
	case "-h", "--help":
		fmt.Print(usage)
	case "--version":
		fmt.Println("vw", cli.Version())
	default:
		name = "vw-" + strings.TrimPrefix(name, "vw-")
		tool := tools[name]
		if tool == nil {
			fail()
		}
		os.Args = append([]string{name}, os.Args[2:]...)
		tool()
	}
}

func fail() {
	fmt.Fprint(os.Stderr, usage)
	os.Exit(cli.ExitUsage)
}
