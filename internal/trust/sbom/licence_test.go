package sbom

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"distroless/internal/trust/trusttest"
)

// TestExpression: if it fails, a compliance tool reads another licence than the
// package has.
func TestExpression(t *testing.T) {
	for field, want := range map[string]string{
		"Expat":                         "MIT",
		"GPL-2":                         "GPL-2.0-only",
		"GPL-2+":                        "GPL-2.0-or-later",
		"gpl-3.0+":                      "GPL-3.0-or-later",
		"LGPL-2.1":                      "LGPL-2.1-only",
		"LGPL-2.1-or-later":             "<LGPL-2.1-or-later>",
		"GPL-7":                         "<GPL-7>",
		"BSD-3-clause":                  "BSD-3-Clause",
		"public-domain":                 "<public-domain>",
		"GPL-1+ or Artistic":            "GPL-1.0-or-later OR Artistic-1.0-Perl",
		"GPL-2 and Expat":               "GPL-2.0-only AND MIT",
		"GPL-2 or Expat and ISC":        "GPL-2.0-only OR MIT AND ISC",
		"GPL-2 or Expat, and ISC":       "(GPL-2.0-only OR MIT) AND ISC",
		"GPL-2, or Expat and ISC":       "GPL-2.0-only OR MIT AND ISC",
		"GPL-2+ with Libtool exception": "GPL-2.0-or-later WITH Libtool-exception",
		"GPL-3+ with GCC-Runtime-Library exception": "GPL-3.0-or-later WITH GCC-exception-3.1",
		"GPL-2+ with Autoconf-exception":            "GPL-2.0-or-later WITH Autoconf-exception-generic",
		"GPL-2+ with own exception or Expat":        "<GPL-2+ with own exception> OR MIT",
		"Expat, Expat and Expat":                    "MIT",
		"Expat|ISC":                                 "MIT OR ISC",
		"":                                          "",
		",,":                                        "",
	} {
		if got := expression(field, func(n string) string { return "<" + n + ">" }); got != want {
			t.Errorf("%q is %q, want %q", field, got, want)
		}
	}
}

func TestLicenceRef(t *testing.T) {
	a, b := licenceRef("a b"), licenceRef("a/b")
	if a == b || licenceRef("public-domain") != "LicenseRef-public-domain" || len(licenceRef(strings.Repeat("x", 500))) > 90 {
		t.Errorf("%q %q %q", a, b, licenceRef("public-domain"))
	}
}

func TestCopyright(t *testing.T) {
	l := readCopyright([]byte(trusttest.Copyright))
	ref := licenceRef("odd")
	if want := "(GPL-2.0-or-later WITH Libtool-exception OR MIT) AND " + ref + " AND LGPL-2.1-or-later"; l.expression != want {
		t.Errorf("expression %q, want %q", l.expression, want)
	}
	if l.texts[ref] != "You may do this\n\nand that." || len(l.texts) != 1 {
		t.Errorf("texts %q", l.texts)
	}
	whole := readCopyright([]byte("Copyright: me\n"))
	if !strings.HasPrefix(whole.expression, "LicenseRef-copyright-") || whole.texts[whole.expression] != "Copyright: me\n" {
		t.Errorf("a copyright file in no format: %+v", whole)
	}
	if l := readCopyright(nil); l.expression != "" {
		t.Errorf("no copyright file: %+v", l)
	}
}

// TestRealCopyrights reads those of the machine, where it is Debian: every one
// must give an expression that is one.
func TestRealCopyrights(t *testing.T) {
	files, _ := filepath.Glob("/usr/share/doc/*/copyright")
	machine := 0
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		l := readCopyright(data)
		if err := checkExpression(l.expression); err != "" {
			t.Errorf("%s: %s: %q", f, err, l.expression)
		}
		if !strings.HasPrefix(l.expression, "LicenseRef-copyright-") {
			machine++
		}
	}
	t.Logf("%d of %d copyright files are machine-readable", machine, len(files))
}

func FuzzCopyright(f *testing.F) {
	f.Add([]byte(trusttest.Copyright))
	f.Add([]byte("Format: copyright-format\nLicense: GPL-2+ with x exception, and y or z|w\n"))
	f.Add([]byte("Format: copyright\n\nFiles: *\nLicense: , or and with\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := readCopyright(data)
		if err := checkExpression(l.expression); err != "" && len(data) > 0 {
			t.Errorf("%s: %q", err, l.expression)
		}
		for ref, text := range l.texts {
			if !strings.Contains(l.expression, ref) || text == "" {
				t.Errorf("%s is not in %q, or has no text", ref, l.expression)
			}
		}
	})
}

// checkExpression is the grammar of SPDX expressions, annex D, by itself: what
// is wrong, or "".
func checkExpression(s string) string {
	tokens := strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(s))
	var parse func() string
	primary := func() string {
		if len(tokens) == 0 {
			return "ends early"
		}
		t := tokens[0]
		tokens = tokens[1:]
		if t == "(" {
			if err := parse(); err != "" {
				return err
			}
			if len(tokens) == 0 || tokens[0] != ")" {
				return "parenthesis not closed"
			}
			tokens = tokens[1:]
			return ""
		}
		if strings.Trim(strings.ToLower(t), "abcdefghijklmnopqrstuvwxyz0123456789.-+") != "" || t == "AND" || t == "OR" || t == "WITH" {
			return "not an identifier: " + t
		}
		if len(tokens) > 1 && tokens[0] == "WITH" {
			tokens = tokens[2:]
		}
		return ""
	}
	parse = func() string {
		for {
			if err := primary(); err != "" {
				return err
			}
			if len(tokens) == 0 || tokens[0] != "AND" && tokens[0] != "OR" {
				return ""
			}
			tokens = tokens[1:]
		}
	}
	if err := parse(); err != "" {
		return err
	}
	if len(tokens) > 0 {
		return "more after the end: " + tokens[0]
	}
	return ""
}
