package testserver

import (
	"encoding/xml"
	"fmt"
	"strings"
)

type (
	junitSuites struct {
		XMLName xml.Name   `xml:"testsuites"`
		Suite   junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Failure *junitFailure `xml:"failure"`
		Output  string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit returns the report in the XML that CI systems show: a test case named "ended", which fails at a timeout, and
// one for each expectation in their order.
func (r Report) JUnit() ([]byte, error) {
	suite := junitSuite{Name: "vw-testserver"}
	add := func(name, detail string, ok bool) {
		c := junitCase{Class: suite.Name, Name: name}
		if ok {
			c.Output = detail
		} else {
			message, _, _ := strings.Cut(detail, "\n")
			c.Failure = &junitFailure{message, detail}
			suite.Failures++
		}
		suite.Cases = append(suite.Cases, c)
	}
	ended := fmt.Sprintf("%d connections came", len(r.Connections))
	if r.TimedOut {
		ended = "timed out: " + ended
	}
	add("ended", ended, !r.TimedOut)
	for _, v := range r.Expectations {
		name := v.Name
		if v.Path != "" {
			name += " " + v.Path
		}
		add(name, v.Detail, v.OK)
	}
	suite.Tests = len(suite.Cases)
	text, err := xml.MarshalIndent(junitSuites{Suite: suite}, "", "  ")
	return append([]byte(xml.Header), append(text, '\n')...), err
}
