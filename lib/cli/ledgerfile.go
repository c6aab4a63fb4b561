package cli

import (
	"encoding/json"
	"fmt"

	"github.com/timdrysdale/vw/lib/atomicfile"
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
	line, err := json.Marshal(s)
	if err == nil {
		err = atomicfile.Write(f.path, append(line, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write ledger %s: %w", f.path, err)
	}
	return nil
}
