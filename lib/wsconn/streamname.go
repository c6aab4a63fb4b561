package wsconn

import (
	"net/http"

	"github.com/timdrysdale/vw/internal/plainname"
)

// StreamHeader is the header of a handshake that names the stream that the connection carries, so that the ledgers of
// the hops of a stream can be joined.
const StreamHeader = "Vw-Stream"

// ValidStreamName reports whether name may name a stream: 1 to 64 letters, digits, dots, underscores and hyphens.
func ValidStreamName(name string) bool { return plainname.Valid(name, 64) }

// StreamName returns the stream's name in a handshake, or "" if it has none that is valid.
func StreamName(h http.Header) string {
	if name := h.Get(StreamHeader); ValidStreamName(name) {
		return name
	}
	return ""
}
