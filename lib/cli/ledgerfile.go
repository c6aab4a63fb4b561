package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/timdrysdale/vw/lib/atomicfile"
	"github.com/timdrysdale/vw/lib/metrics"
	"github.com/timdrysdale/vw/lib/stream"
)

// ledgerFile is a file that holds one ledger, whole at every moment.
type ledgerFile struct{ path string }

// openLedgerFile decides where the ledger goes, and removes what a crash left of an earlier one.
func openLedgerFile(path string) (*ledgerFile, error) {
	path, err := atomicfile.Resolve(path)
	if err != nil {
		return nil, fmt.Errorf("write ledger: %w", err)
	}
	atomicfile.RemoveStale(path)
	return &ledgerFile{path}, nil
}

func (f *ledgerFile) write(s stream.Snapshot) error {
	text, err := f.format(s)
	if err == nil {
		err = atomicfile.Write(f.path, text, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write ledger %s: %w", f.path, err)
	}
	return nil
}

// format returns the ledger as a line of JSON, or if the file's name ends in .prom as metrics for node_exporter's
// textfile collector. These have the label file: a series that two files have makes the collector fail.
func (f *ledgerFile) format(s stream.Snapshot) ([]byte, error) {
	if filepath.Ext(f.path) != ".prom" {
		line, err := json.Marshal(s)
		return append(line, '\n'), err
	}
	t := metrics.NewText("file", filepath.Base(f.path))
	t.AddLedger(s)
	var b bytes.Buffer
	_, err := t.WriteTo(&b)
	return b.Bytes(), err
}
