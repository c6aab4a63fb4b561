// Command bench measures vw side by side with what it replaces: jsmpeg's relay on node.js, and with socat, which
// carries the same bytes with no protocol at all. It starts every contestant anew for each round, in turns, and
// compares within one run only. scripts/bench builds and installs what it needs, and says where.
//
// It is a module of its own, so that its plotting library is not a dependency of the tools.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// settings say how long and how often to measure.
type settings struct {
	bin     string // the folder of vw's tools
	against string // the folder of those that they are to be compared with; "" for none
	floor   string // the folder of what is built from floor/
	node    string // the folder with node_modules
	nats    string // a nats-server; "" for none
	work    string // a folder for what is needed while it runs
	rounds  int
	seconds time.Duration // of one run at one stream; shorter with many
	streams []int
	rates   []float64 // Mbit/s
	flat    int64     // bytes of a run without a pace
	starts  int       // how often a start is timed
	suites  []string
}

func main() {
	var s settings
	var out, suites string
	short := flag.Bool("short", false, "a minute instead of half an hour: for information only")
	flag.StringVar(&s.bin, "bin", "", "folder of the built tools")
	flag.StringVar(&s.against, "against", "", "folder of other tools: compare with them and write no page")
	flag.StringVar(&s.floor, "floor", "", "folder of the programs built from floor/")
	flag.StringVar(&s.node, "node", "", "folder with node_modules")
	flag.StringVar(&s.nats, "nats", "", "a nats-server")
	flag.StringVar(&out, "out", ".", "folder for benchmarks.md and the plots")
	flag.StringVar(&suites, "suites", strings.Join(allSuites, ","), "which to run")
	flag.IntVar(&s.rounds, "rounds", 3, "rounds of each measurement")
	flag.DurationVar(&s.seconds, "time", 30*time.Second, "how long one stream is measured at a camera's pace")
	flag.Parse()
	s.streams, s.rates = []int{1, 10, 50}, []float64{1.3, 20}
	s.flat, s.starts = 1<<30, 20
	if *short {
		s.rounds, s.seconds, s.streams, s.rates = 1, 2*time.Second, []int{1, 10}, []float64{1.3}
		s.flat, s.starts = 256<<20, 5
	}
	s.suites = strings.Split(suites, ",")
	if s.bin == "" || s.node == "" || s.floor == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr,
			"usage: bench -bin FOLDER -node FOLDER -floor FOLDER [-against FOLDER] [-out FOLDER] [-rounds N]"+
				" [-time D] [-suites LIST] [-short]")
		os.Exit(2)
	}
	if err := run(s, out); err != nil {
		fmt.Fprintln(os.Stderr, "bench: error: not everything was measured:", err)
		os.Exit(1)
	}
}

func run(s settings, out string) (err error) {
	if s.work, err = os.MkdirTemp("", "vw-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.work)
	b := &bench{settings: s}
	if s.against != "" {
		err := b.againstSuite()
		fmt.Print(b.report())
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var failed error
	for _, name := range s.suites {
		f, ok := suites[name]
		if !ok {
			return fmt.Errorf("there is no suite %q; there are %s", name, strings.Join(allSuites, ", "))
		}
		began := time.Now()
		if err := f(b); err != nil {
			// What others have measured is not lost for it.
			err = fmt.Errorf("%s: %w", name, err)
			fmt.Fprintln(os.Stderr, "bench: error:", err)
			failed = errors.Join(failed, err)
		}
		fmt.Fprintf(os.Stderr, "bench: %s took %v\n", name, time.Since(began).Round(time.Second))
		if err := errors.Join(b.plot(out), os.WriteFile(filepath.Join(out, "benchmarks.md"), []byte(b.report()),
			0o644)); err != nil {
			return err
		}
	}
	fmt.Print(b.report())
	return failed
}
