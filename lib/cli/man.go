package cli

import (
	"fmt"
	"slices"
	"strings"

	ucli "github.com/urfave/cli/v2"
)

// manPage is the manual page of a tool in the language of man(7): what the help says, and what all tools have in
// common.
func manPage(app *ucli.App, more []int) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 \"%s\" \"vw %s\" \"Video over websockets\"\n", strings.ToUpper(roff(app.Name)),
		roff(Date()), roff(Version()))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(app.Name), roff(app.Usage))
	b.WriteString(".SH SYNOPSIS\n.nf\n")
	for line := range strings.Lines(synopsis(app)) {
		b.WriteString(roff(strings.TrimSpace(line)) + "\n")
	}
	b.WriteString(".fi\n")
	if app.Description != "" {
		b.WriteString(".SH DESCRIPTION\n" + roffParagraphs(app.Description))
	}
	b.WriteString(".SH OPTIONS\n")
	for _, g := range groups(app) {
		b.WriteString(".SS " + roff(g.title) + "\n")
		for _, f := range g.flags {
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR\n%s\n", roff(flagSynopsis(f)), roff(flagUsage(f)))
		}
	}
	b.WriteString(".PP\n" + roff(valueForms) +
		"\n.SH EXIT STATUS\nThe first that fits, in the order 2, 1, 4, 5, 3, 0.\n")
	for _, status := range exitStatuses(more) {
		fmt.Fprintf(&b, ".TP\n\\fB%d\\fR\n%s\n", status.code, roff(status.meaning))
	}
	about := aboutOf(app)
	if len(about.Examples) > 0 {
		b.WriteString(".SH EXAMPLES\n")
	}
	for _, e := range about.Examples {
		fmt.Fprintf(&b, ".PP\n%s:\n.PP\n.nf\n", roff(e[0]))
		for line := range strings.Lines(e[1]) {
			b.WriteString(".RS 4\n" + roff(strings.TrimSuffix(line, "\n")) + "\n.RE\n")
		}
		b.WriteString(".fi\n")
	}
	b.WriteString(".SH ENVIRONMENT\n" + roffTerms(append(slices.Clip(about.Environment), runtimeVariables...)))
	b.WriteString(".SH SIGNALS\n" + roffParagraphs(manSignals))
	if slices.ContainsFunc(app.Flags, func(f ucli.Flag) bool { return slices.Contains(f.Names(), "ledger") }) {
		b.WriteString(".SH LEDGER\n" + roffParagraphs(manLedger) + ".PP\n" + roff(ledgerEquation) + "\n" +
			roffTerms(ledgerTerms))
	}
	b.WriteString(".SH SEE ALSO\n")
	others := []string{"vw-ingest", "vw-push", "vw-record", "vw-testserver", "vw-nats"}
	others = slices.DeleteFunc(others, func(s string) bool { return s == app.Name })
	for i, name := range others {
		others[i] = "\\fB" + roff(name) + "\\fR(1)"
	}
	b.WriteString(strings.Join(others, ",\n") + "\n")
	return b.String()
}

const manSignals = `The first SIGINT or SIGTERM asks a tool to finish: vw-ingest takes no more publishers;
vw-push, vw-record and vw-nats pub read on to the end of standard input, for --linger at most, because Ctrl-C reaches
the whole pipeline and what is in the pipes must not vanish; what is held is then delivered within the same time.
vw-testserver lets connections go on for --linger. The second one stops the tool now, with status 1. The same signal
again within 200 ms is no second one: timeout(1) sends two.

SIGHUP reloads where there is something to reload (the tokens and certificates of publishers and viewers; the file of
vw-push --to-file; vw-record begins a new file). Elsewhere it counts as SIGTERM.

SIGUSR1 prints the ledger on standard error, where a tool keeps one.

When the reader of standard output has gone, a tool ends with status 1; vw-record --tee records on to the end of its
input, unless --end-with-reader is given, and then has that status too.`

// runtimeVariables are those that every Go program reads.
var runtimeVariables = [][2]string{
	{"GOMEMLIMIT", "the memory that the tool tries to stay below, such as 64MiB"},
}

const manLedger = `What came in is delivered, dropped for a counted reason, or still here. --ledger writes that
account as one JSON object, once a minute and at exit; at exit nothing is unconfirmed or held. For each output, in
bytes:`

const ledgerEquation = "in = confirmed + unconfirmed + held + sum(dropped)"

// ledgerTerms are the figures of a ledger, each with what it means.
var ledgerTerms = [][2]string{
	{"in", "read since this output joined"},
	{"confirmed",
		"the peer's pong came after it (vw-push, vw-nats pub --live), a stream has stored it (vw-nats pub), " +
			"it is synced to the disk (vw-record), or standard output took it"},
	{"unconfirmed", "handed to the socket or file, and not confirmed yet"},
	{"held", "waiting in the queue"},
	{"age, full", "dropped: older than --max-age; no room in --buffer"},
	{"resync", "dropped: between a loss and the next place where decoding can start"},
	{"sync, torn", "dropped: no packets; part of a packet at a splice or end"},
	{"lost", "dropped: handed to a connection or file that died before it confirmed; it may have arrived"},
	{"stop, exit", "dropped: past a --stop limit, which is no loss; still here when the tool had to end"},
	{"written, resent, injected",
		"handed on; handed on again on a new connection; put in front (tables, announced gaps): " +
			"these stand beside the sum"},
}

// roff makes text stand for itself, in one line, in ASCII: man may run with LC_ALL=C.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ", "…", "...").Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

// roffParagraphs are paragraphs that man fills, with one empty line between them in text.
func roffParagraphs(text string) string {
	paragraphs := strings.Split(strings.TrimSpace(text), "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = roff(strings.TrimSpace(p)) + "\n"
	}
	return strings.Join(paragraphs, ".PP\n")
}

func roffTerms(terms [][2]string) string {
	var b strings.Builder
	for _, t := range terms {
		fmt.Fprintf(&b, ".TP\n\\fB%s\\fR\n%s\n", roff(t[0]), roff(t[1]))
	}
	return b.String()
}
