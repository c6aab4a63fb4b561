// Package access decides who may use a listener: by tokens that have names and follow their file, by the web page that
// a browser acts for, and by how many connections one address holds. It also writes the log of those who were refused.
//
// vw-ingest and vw-push --listen share it. It knows nothing of streams and answers no request: the caller decides what
// a refused client gets. The package is vw's own and may change.
package access
