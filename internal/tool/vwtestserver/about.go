package vwtestserver

import "github.com/timdrysdale/vw/lib/cli"

var about = cli.About{
	First: []string{"conns", "timeout", "expect-clean", "expect-file", "announce"},
	Examples: [][2]string{
		{"Receive one stream, and fail if it is not clean",
			"vw-testserver --conns 1 --timeout 30s --expect-clean --announce url"},
		{"Expect each byte of a file, although the first connection is reset",
			"vw-testserver --conns 2 --fault 'conn=1,after=100KiB,do=reset' --expect-subset cam1.ts"},
		{"Save what comes, until a signal", "vw-testserver --listen 127.0.0.1:9000 --save received"},
	},
	Environment: [][2]string{{"VW_TESTSERVER_TOKEN", "the token to require, in place of --token-file"}},
	Values:      map[string][]string{"fault": faultBeginnings()},
}

// faultBeginnings are the beginnings of what --fault takes.
func faultBeginnings() []string {
	beginnings := []string{"conn=", "path=", "after=", "p="}
	for _, k := range faultKinds {
		beginnings = append(beginnings, "do="+k.name())
	}
	return beginnings
}
