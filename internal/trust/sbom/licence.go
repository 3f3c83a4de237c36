package sbom

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"
)

// expression turns the short licence field of a machine-readable copyright
// file ("GPL-2+ or Artistic, and Expat") into an SPDX expression. A licence
// that SPDX has no name for becomes what ref says. A comma binds less than the
// words, and "and" more than "or", as the format has it.
func expression(field string, ref func(name string) string) string {
	field = strings.NewReplacer("|", " or ", " and/or ", " or ", " AND ", " and ", " OR ", " or ", " And ", " and ", " Or ", " or ").Replace(field)
	// ", and" and ", or" divide first; a lone comma stands for "and".
	var groups []string
	var words []string // between the groups
	rest := field
	for {
		i := strings.IndexByte(rest, ',')
		if i < 0 {
			groups = append(groups, rest)
			break
		}
		groups = append(groups, rest[:i])
		rest = strings.TrimSpace(rest[i+1:])
		word := "and"
		for _, w := range []string{"and", "or"} {
			if after, ok := strings.CutPrefix(rest, w+" "); ok {
				word, rest = w, after
				break
			}
		}
		words = append(words, word)
	}
	var choices []string
	all := []string{alternation(groups[0], ref)}
	for i, w := range words {
		if w == "or" {
			choices = append(choices, joinExpressions(all, " AND "))
			all = nil
		}
		all = append(all, alternation(groups[i+1], ref))
	}
	return joinExpressions(append(choices, joinExpressions(all, " AND ")), " OR ")
}

func alternation(text string, ref func(string) string) string {
	var parts []string
	for a := range strings.SplitSeq(text, " or ") {
		var all []string
		for n := range strings.SplitSeq(a, " and ") {
			if n = strings.TrimSpace(n); n != "" {
				all = append(all, one(n, ref))
			}
		}
		parts = append(parts, joinExpressions(all, " AND "))
	}
	return joinExpressions(parts, " OR ")
}

// joinExpressions joins what is not empty, each once, with parentheses where
// an operator of less force is inside.
func joinExpressions(parts []string, operator string) string {
	var out []string
	seen := map[string]bool{}
	for _, p := range parts {
		terms := []string{p}
		if operator == " AND " && !alternatives(p) && !strings.Contains(p, "(") {
			terms = strings.Split(p, operator)
		}
		for _, t := range terms {
			if t != "" && !seen[t] {
				seen[t] = true
				out = append(out, t)
			}
		}
	}
	if len(out) == 1 {
		return out[0]
	}
	for i, p := range out {
		if operator == " AND " && alternatives(p) {
			out[i] = "(" + p + ")"
		}
	}
	return strings.Join(out, operator)
}

// alternatives reports whether an expression has an OR outside parentheses.
func alternatives(s string) bool {
	depth := 0
	for i := range len(s) {
		switch {
		case s[i] == '(':
			depth++
		case s[i] == ')':
			depth--
		case depth == 0 && strings.HasPrefix(s[i:], " OR "):
			return true
		}
	}
	return false
}

// one is a single licence, maybe "with ... exception".
func one(name string, ref func(string) string) string {
	base, exception, with := strings.Cut(name, " with ")
	id := identifier(base)
	if !with {
		if id == "" {
			return ref(name)
		}
		return id
	}
	exception = strings.ToLower(strings.TrimSpace(exception))
	exception = strings.TrimSuffix(strings.TrimSuffix(exception, "exception"), " ")
	exception = strings.TrimSuffix(exception, "-")
	known := exceptionID(exception)
	if id == "" || known == "" {
		return ref(name)
	}
	return id + " WITH " + known
}

// identifier is the SPDX name of a licence by the name that copyright files
// have for it; "" if there is none.
func identifier(name string) string {
	lower := strings.ToLower(strings.TrimSpace(name))
	if id, ok := spdxNames()[lower]; ok {
		return id
	}
	// The GNU licences: "GPL-2", "GPL-2+", "LGPL-2.1+", "GFDL-1.3".
	later := strings.HasSuffix(lower, "+")
	family, version, ok := strings.Cut(strings.TrimSuffix(lower, "+"), "-")
	if !ok {
		return ""
	}
	version = strings.TrimPrefix(version, "v")
	if !strings.Contains(version, ".") {
		version += ".0"
	}
	known := map[string]string{"gpl": "GPL", "lgpl": "LGPL", "agpl": "AGPL", "gfdl": "GFDL"}[family]
	valid := map[string]string{"GPL": " 1.0 2.0 3.0 ", "LGPL": " 2.0 2.1 3.0 ", "AGPL": " 1.0 3.0 ", "GFDL": " 1.1 1.2 1.3 "}[known]
	if known == "" || !strings.Contains(valid, " "+version+" ") {
		return ""
	}
	if later {
		return known + "-" + version + "-or-later"
	}
	return known + "-" + version + "-only"
}

// exceptionID is the SPDX name of an exception.
func exceptionID(name string) string {
	return map[string]string{
		"gcc-runtime-library": "GCC-exception-3.1", "gcc runtime library": "GCC-exception-3.1", "gcc-exception-3.1": "GCC-exception-3.1", "gcc": "GCC-exception-3.1",
		"autoconf": "Autoconf-exception-generic", "autoconf-data": "Autoconf-exception-generic", "configure": "Autoconf-exception-generic",
		"bison": "Bison-exception-2.2", "libtool": "Libtool-exception", "font": "Font-exception-2.0", "classpath": "Classpath-exception-2.0",
		"llvm": "LLVM-exception", "linux-syscall-note": "Linux-syscall-note", "texinfo": "Texinfo-exception",
	}[strings.TrimSuffix(strings.TrimSpace(name), "-exception")]
}

// licenceRef is the name of a licence that SPDX does not list, the same in
// every document: readable, and with a digest where letters had to go.
func licenceRef(name string) string {
	var b strings.Builder
	clean := true
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-':
			b.WriteByte(c)
		default:
			b.WriteByte('-')
			clean = false
		}
	}
	out := b.String()
	if !clean || len(out) > 60 {
		sum := sha256.Sum256([]byte(name))
		out = strings.Trim(out[:min(len(out), 60)], "-") + "-" + hex.EncodeToString(sum[:4])
	}
	return "LicenseRef-" + out
}

// spdxNames maps names as copyright files have them, in lower case, to the
// identifiers of the SPDX licence list. It is not changed.
var spdxNames = sync.OnceValue(makeNames)

func makeNames() map[string]string {
	m := map[string]string{
		// names of Debian's format, and others seen often
		"expat": "MIT", "mit/x11": "MIT", "x11": "X11", "mit-modern": "MIT-Modern-Variant", "apache-2": "Apache-2.0", "apache": "Apache-2.0",
		"artistic": "Artistic-1.0-Perl", "artistic-1": "Artistic-1.0-Perl", "artistic-2": "Artistic-2.0", "bsd-2": "BSD-2-Clause", "bsd-3": "BSD-3-Clause",
		"cc0": "CC0-1.0", "cc0-1": "CC0-1.0", "psf": "PSF-2.0", "psf-2": "PSF-2.0", "python": "Python-2.0", "python-2": "Python-2.0",
		"mpl-1": "MPL-1.0", "mpl-2": "MPL-2.0", "epl-1": "EPL-1.0", "epl-2": "EPL-2.0", "cddl": "CDDL-1.0", "cddl-1": "CDDL-1.0",
		"zlib/libpng": "Zlib", "sleepycat": "Sleepycat", "boost": "BSL-1.0", "boost-1.0": "BSL-1.0", "bzip2": "bzip2-1.0.6", "freetype": "FTL",
		"lppl": "LPPL-1.3c", "ofl-1.1": "OFL-1.1", "ofl": "OFL-1.1", "w3c-software": "W3C", "icu": "ICU", "ijg": "IJG", "curl": "curl",
		"gfdl-niv-1.3": "GFDL-1.3-no-invariants-only", "gfdl-niv-1.3+": "GFDL-1.3-no-invariants-or-later", "gfdl-niv-1.2+": "GFDL-1.2-no-invariants-or-later",
		"gpl": "GPL-1.0-or-later", "lgpl": "LGPL-2.0-or-later",
	}
	for _, id := range []string{
		"0BSD", "AFL-2.1", "AFL-3.0", "Apache-1.1", "Apache-2.0", "Artistic-1.0", "Artistic-1.0-Perl", "Artistic-2.0", "Beerware", "blessing",
		"BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "BSD-4-Clause", "BSD-4-Clause-UC", "BSD-3-Clause-Clear", "BSD-Source-Code", "BSL-1.0", "bzip2-1.0.6",
		"CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC0-1.0", "CDDL-1.0", "CDDL-1.1", "CPL-1.0", "curl", "EPL-1.0", "EPL-2.0", "FSFAP", "FSFUL", "FSFULLR",
		"FTL", "HPND", "HPND-sell-variant", "ICU", "IJG", "ISC", "Libpng", "libpng-2.0", "LPPL-1.3c", "MIT", "MIT-0", "MPL-1.0", "MPL-1.1", "MPL-2.0", "MS-PL", "NCSA", "NTP",
		"OFL-1.1", "OLDAP-2.8", "OpenSSL", "PHP-3.01", "PostgreSQL", "PSF-2.0", "Python-2.0", "Ruby", "Sleepycat", "SMLNJ", "SSH-OpenSSH", "SunPro", "TCL", "UCD", "Unicode-3.0", "Unicode-DFS-2016", "Unlicense", "UPL-1.0",
		"Vim", "W3C", "WTFPL", "X11", "Zlib", "zlib-acknowledgement", "ZPL-2.1",
	} {
		m[strings.ToLower(id)] = id
	}
	return m
}
