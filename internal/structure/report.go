package structure

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// Report is what came of the tests of one image.
type Report struct {
	Image    string   `json:"image"`    // as the user named it
	Digest   string   `json:"digest"`   // of the manifest
	Platform string   `json:"platform"` // "linux/amd64"
	Passed   int      `json:"passed"`
	Failed   int      `json:"failed"`
	Tests    []Result `json:"tests"`
}

// NewReport counts results.
func NewReport(image, digest, platform string, results []Result) Report {
	r := Report{Image: image, Digest: digest, Platform: platform, Tests: results}
	if r.Tests == nil {
		r.Tests = []Result{}
	}
	for _, t := range results {
		if t.Pass {
			r.Passed++
		} else {
			r.Failed++
		}
	}
	return r
}

type (
	junitFile struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure"`
		Out     string        `xml:"system-out,omitempty"`
		Err     string        `xml:"system-err,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes reports as JUnit's XML, a suite per image and test file, as CI
// servers read it.
func JUnit(w io.Writer, reports []Report) error {
	var f junitFile
	for _, r := range reports {
		at := map[string]int{}
		for _, t := range r.Tests {
			i, ok := at[t.File]
			if !ok {
				i = len(f.Suites)
				at[t.File] = i
				f.Suites = append(f.Suites, junitSuite{Name: r.Image + " " + r.Platform + " " + t.File})
			}
			f.Suites[i].Cases = append(f.Suites[i].Cases, junit(t))
		}
		for file, i := range at {
			f.Suites[i].count(r.Tests, file)
			f.Tests += f.Suites[i].Tests
			f.Failures += f.Suites[i].Failures
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(f); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) count(tests []Result, file string) {
	var took float64
	for _, t := range tests {
		if t.File != file {
			continue
		}
		s.Tests++
		took += t.Seconds
		if !t.Pass {
			s.Failures++
		}
	}
	s.Time = fmt.Sprintf("%.3f", took)
}

func junit(t Result) junitCase {
	c := junitCase{Class: t.Kind, Name: t.Name, Time: fmt.Sprintf("%.3f", t.Seconds), Out: t.Stdout, Err: t.Stderr}
	if !t.Pass {
		c.Failure = &junitFailure{t.Errors[0], strings.Join(t.Errors, "\n")}
	}
	return c
}
