package vwpush

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/timdrysdale/vw/lib/testserver"
)

func TestMain(m *testing.M) {
	// With the race detector a process sleeps for a second at its end, which would be most of the test's time.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"vw-push": Main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Values[serverKey{}] = new(*testserver.Server)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"serve": serve, "served": served},
	})
}

// serverKey is where a script keeps its server.
type serverKey struct{}

// serve starts a websocket server: serve FOLDER saves there what its one connection brings. URL is its address.
func serve(ts *testscript.TestScript, _ bool, args []string) {
	s, err := testserver.New(testserver.Options{Conns: 1, Save: ts.MkAbs(args[0])})
	ts.Check(err)
	ts.Defer(s.Close)
	ts.Setenv("URL", s.URL())
	*ts.Value(serverKey{}).(**testserver.Server) = s
}

// served waits until the server's connection has ended and everything is saved.
func served(ts *testscript.TestScript, _ bool, _ []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := (*ts.Value(serverKey{}).(**testserver.Server)).Wait(ctx)
	ts.Check(err)
}
