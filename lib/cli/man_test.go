package cli

import (
	"bytes"
	"strings"
	"testing"
)

func TestManPage(t *testing.T) {
	var got []string
	app := testApp("URL", &got, nil)
	app.Metadata = About{First: []string{"once"}, Examples: [][2]string{{"Try …", "vw-test \\\n  --once"}},
		Environment: [][2]string{{"VW_TEST", "how it is tried"}}}.Metadata()
	app.Description = ".dots, 'quotes and back\\slashes\nare text.\n\nSo are --flags."
	var stdout, stderr bytes.Buffer
	if status := Run(app, []string{"vw-test", "--once", "--man"}, &stdout, &stderr, ExitTimeout); status != 0 ||
		stderr.Len() > 0 {
		t.Fatalf("status %d, stderr %q", status, stderr.String())
	}
	page := stdout.String()
	for _, want := range []string{
		".SH NAME\nvw\\-test \\- try things\n",
		".SH SYNOPSIS\n.nf\nvw\\-test [flags] URL\n.fi\n",
		".SH DESCRIPTION\n\\&.dots, 'quotes and back\\eslashes are text.\n.PP\nSo are \\-\\-flags.\n",
		".TP\n\\fB\\-\\-count N\\fR\nstop after N\n",
		".SH OPTIONS\n.SS What most people need\n.TP\n\\fB\\-\\-once\\fR\n",
		".SS Common flags\n",
		".SH EXAMPLES\n.PP\nTry ...:\n.PP\n.nf\n.RS 4\nvw\\-test \\e\n.RE\n.RS 4\n  \\-\\-once\n.RE\n.fi\n",
		".SH ENVIRONMENT\n.TP\n\\fBVW_TEST\\fR\nhow it is tried\n",
		".SH EXIT STATUS\n",
		".TP\n\\fB3\\fR\nsomething was dropped",
		".TP\n\\fB5\\fR\ntimed out waiting\n",
		".SH SIGNALS\nThe first SIGINT or SIGTERM",
		".SH LEDGER\n",
		"\nin = confirmed + unconfirmed + held + sum(dropped)\n",
		".SH SEE ALSO\n\\fBvw\\-ingest\\fR(1),\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if strings.Contains(page, "\\fB4\\fR") {
		t.Error("the page has a status that the tool does not have")
	}
	app.Flags = app.Flags[:4]
	if strings.Contains(manPage(app, nil), "LEDGER") {
		t.Error("a tool without a ledger has the chapter about it")
	}
}
