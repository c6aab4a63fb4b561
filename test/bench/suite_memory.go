package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// memorySuite measures the memory of pipelines of three tools, as four files and as one file under four names.
func (b *bench) memorySuite() error {
	one := filepath.Join(b.work, "one")
	err := os.Mkdir(one, 0o755)
	for _, name := range []string{"vw-ingest", "vw-push", "vw-record"} {
		err = errors.Join(err, os.Symlink(b.tool("vw"), filepath.Join(one, name)))
	}
	if err != nil {
		return err
	}
	t := table{
		title: "Memory of pipelines",
		note: fmt.Sprintf("%d rounds: vw-ingest, vw-record with --tee and vw-push, beside jsmpeg's relay with "+
			"RECORD_STREAM. One file is vw under the names of the tools. Resident: what ps shows at most (RSS), "+
			"added up. Share: a page that several processes have counts once (PSS). Both are of one pipeline.",
			b.rounds),
		head: []string{"pipelines", "", "resident", "× node", "share", "× node's resident"},
	}
	for _, n := range []int{1, 10} {
		contestants := []contestant{vwRecordTee, vwRecordTee.from(one), nodeRecord}
		all, err := b.turns(contestants, func(c contestant) (*sample, error) {
			return b.paced(c, b.rates[0], n, b.duration(n), "", nil)
		})
		if err != nil {
			return err
		}
		node := all[len(all)-1].memory()
		for i, name := range []string{"vw, four files", "vw, one file", nodeRecord.name} {
			resident, share := all[i].memory(), all[i].share()
			t.row(fmt.Sprint(n), name, resident.text("%.1f MiB"), ratio(resident, node),
				share.text("%.1f MiB"), ratio(share, node))
		}
	}
	b.tables = append(b.tables, t)
	return nil
}
