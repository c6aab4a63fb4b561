// Package cli is what all vw tools share between the operating system and their work: flags, help and exit status,
// logs, secrets, signals, standard input and output, and the keeping of the ledger.
//
// It knows nothing of streams but their ledger and their format, and nothing of any one tool. Of vw's packages it is
// the only one that reads flags or the environment, prints, or exits; and it exits in one place, Main.
//
// Linux is what it is made for. On other Unix systems everything works, with standard input and output in blocking
// mode.
//
// It is vw's own and may change.
package cli
