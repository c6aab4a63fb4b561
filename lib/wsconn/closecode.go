package wsconn

// Close codes of RFC 6455, 7.4.1, and of the IANA registry.
const (
	StatusNormalClosure           = 1000
	StatusGoingAway               = 1001
	StatusProtocolError           = 1002
	StatusUnsupportedData         = 1003
	StatusNoStatusRcvd            = 1005 // never sent: a close frame came without a code
	StatusAbnormalClosure         = 1006 // never sent: the connection ended without a close frame
	StatusInvalidFramePayloadData = 1007
	StatusPolicyViolation         = 1008
	StatusMessageTooBig           = 1009
	StatusMandatoryExtension      = 1010
	StatusInternalError           = 1011
	StatusServiceRestart          = 1012
	StatusTryAgainLater           = 1013
	StatusBadGateway              = 1014
)

// ValidCloseCode reports whether an endpoint may put the code into a close frame (RFC 6455, 7.4).
func ValidCloseCode(code int) bool {
	switch code {
	case 1004, StatusNoStatusRcvd, StatusAbnormalClosure, 1015:
		return false
	}
	return code >= 1000 && code <= 1014 || code >= 3000 && code <= 4999
}
