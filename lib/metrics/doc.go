// Package metrics writes figures in the text form that Prometheus reads (version 0.0.4), for GET /metrics and for
// ledgers with the ending .prom, and holds the one table of their names.
//
// The package is vw's own and may change; the names in its table are for users and stay.
package metrics
