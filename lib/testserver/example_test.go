package testserver_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/timdrysdale/vw/lib/testserver"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// A server in the process of the code under test: it picks a free port, and nothing has to sleep.
func Example() {
	server, err := testserver.New(testserver.Options{
		Conns:        1,
		Timeout:      10 * time.Second,
		Expectations: []testserver.Expectation{testserver.ExpectBytes("/cam1", testserver.Exactly(5))},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	// The code under test goes here.
	publisher, err := wsconn.Dial(context.Background(), server.URL()+"/cam1", wsconn.DialOptions{})
	if err != nil {
		log.Fatal(err)
	}
	publisher.Discard()
	_ = publisher.Write(context.Background(), []byte("hello"))
	_ = publisher.Close(context.Background(), 1000, "")

	report, err := server.Wait(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	c := report.Connections[0]
	fmt.Println(report.Passed, c.Path, c.Bytes, c.Messages, c.Close.Code)
	// Output: true /cam1 5 1 1000
}

// In a test, Start fails the test if an expectation failed.
func ExampleStart() {
	// func TestPipeline(t *testing.T) {
	t := &printTB{}
	server := testserver.Start(t, testserver.Options{
		Conns:        1,
		Faults:       []testserver.Fault{{Do: testserver.SendText{}, AfterMessages: 1}},
		Expectations: []testserver.Expectation{testserver.ExpectMessages("/cam1", testserver.Exactly(2))},
	})

	publisher, err := wsconn.Dial(context.Background(), server.URL()+"/cam1", wsconn.DialOptions{})
	if err != nil {
		log.Fatal(err)
	}
	publisher.Discard()
	_ = publisher.Write(context.Background(), []byte("hello"))
	_ = publisher.Close(context.Background(), 1000, "")
	// }
	t.cleanup()

	// Output: test server: expectation messages failed: connection 1 (/cam1): 1 messages came, not 2
}

// printTB takes the place of a *testing.T.
type printTB struct{ cleanup func() }

func (*printTB) Helper()                           {}
func (p *printTB) Cleanup(f func())                { p.cleanup = f }
func (*printTB) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (*printTB) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }
