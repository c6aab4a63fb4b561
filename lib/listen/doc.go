// Package listen opens what --listen names: a TCP address, a unix socket, or a socket that the parent process hands
// over, systemd's among them. It also keeps the TLS certificates that follow their files.
//
// vw-ingest and vw-push --listen share it. Who may connect is lib/access's decision. The package is vw's own and may
// change.
package listen
