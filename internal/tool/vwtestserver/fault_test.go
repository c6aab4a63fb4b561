package vwtestserver

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/testserver"
)

func TestParseFault(t *testing.T) {
	for spec, want := range map[string]testserver.Fault{
		"conn=2,path=/cam*,after=1MiB,do=reset": {Do: testserver.Reset{}, First: 2, Last: 2, Path: "/cam*",
			AfterBytes: 1 << 20},
		"do=refuse,code=401,retry-after=2s,conn=1-3": {Do: testserver.Refuse{Status: 401, RetryAfter: 2 * time.Second},
			First: 1, Last: 3},
		"do=stall,for=5s,after=10messages,conn=4-": {Do: testserver.Stall{For: 5 * time.Second}, AfterMessages: 10,
			First: 4, Last: math.MaxInt},
		"do=slow,rate=8KiB,after=1m30s,p=0.1": {Do: testserver.Slow{Rate: 8192}, AfterTime: 90 * time.Second,
			Probability: 0.1},
		"do=redirect,to=ws://x/?a=b":      {Do: testserver.Redirect{To: "ws://x/?a=b"}},
		"do=big-ping,size=1KiB":           {Do: testserver.BigPing{Size: 1024}},
		"do=bad-frame,kind=rsv,after=100": {Do: testserver.BadFrame{Kind: "rsv"}, AfterBytes: 100},
		"do=close,code=1012,reason=service restarts.": {Do: testserver.CloseFrame{Code: 1012,
			Reason: "service restarts."}},
	} {
		if got, err := parseFault(spec); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", spec, got, err, want)
		}
	}
	for spec, want := range map[string]string{
		"":                         "not key=value",
		"do":                       "not key=value",
		"do=":                      "not key=value",
		"conn=1":                   "do= is missing",
		"do=reset,do=slow":         "given twice",
		"do=reset,x=1":             "fault reset has no x",
		"do=reset,conn=0":          "not N, N-M or N-",
		"do=reset,conn=3-2":        "not N, N-M or N-",
		"do=reset,p=2":             "not above 0",
		"do=reset,p=NaN":           "not above 0",
		"do=reset,after=soon":      "not a size, a duration",
		"do=reset,after=-1s":       "negative",
		"do=reset,after=-messages": "not a count",
		"do=stall,for=-1s":         "not above 0",
		"do=explode":               `there is no fault "explode"`,
		"do=refuse,after=1":        "nothing comes before the handshake",
	} {
		if _, err := parseFault(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", spec, err, want)
		}
	}
}

// TestFaultExamples: a server accepts each example of the list.
func TestFaultExamples(t *testing.T) {
	for _, k := range faultKinds {
		f, err := parseFault(k.example)
		if err != nil {
			t.Errorf("%s: %v", k.example, err)
			continue
		}
		s, err := testserver.New(testserver.Options{Faults: []testserver.Fault{f}})
		if err != nil || f.Do.Name() != k.name() {
			t.Errorf("%s: %v", k.example, err)
			continue
		}
		s.Close()
	}
}

func FuzzParseFault(f *testing.F) {
	for _, k := range faultKinds {
		f.Add(k.example)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		if fault, err := parseFault(spec); err == nil && (fault.Do == nil || fault.First > fault.Last ||
			fault.AfterBytes < 0 || fault.AfterTime < 0) {
			t.Errorf("%q: %+v", spec, fault)
		}
	})
}
