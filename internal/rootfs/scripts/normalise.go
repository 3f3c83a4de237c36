package scripts

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"sync"
)

// Digest is "sha256:<hex>" of the normalised text of s.
func Digest(s Script) string {
	sum := sha256.Sum256(Normalise(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Normalise reduces a script to what a review of it stands for, so that its
// digest changes when the behaviour may have changed and not with every
// release of its package. Outside here-documents it drops comments that have a
// line of their own (debhelper writes its version into them), blank lines, and
// runs of white space. Everywhere it puts VERSION for the package's version,
// ARCH and TRIPLET for its architecture, and VERSION for the constant in
// dpkg --compare-versions, whose other side is empty on a first installation.
func Normalise(s Script) []byte {
	var out bytes.Buffer
	until := ""
	for line := range strings.Lines(string(s.Text)) {
		line = strings.TrimRight(line, " \t\r\n")
		if until != "" {
			if strings.TrimLeft(line, "\t") == until {
				until = ""
			}
			out.WriteString(line + "\n")
			continue
		}
		line = strings.Join(strings.Fields(line), " ")
		if line == "" || line[0] == '#' && !strings.HasPrefix(line, "#!") {
			continue
		}
		if m := hereDoc().FindStringSubmatch(line); m != nil {
			until = m[1]
		}
		out.WriteString(line + "\n")
	}
	return []byte(replaceVersions(out.String(), s))
}

var (
	hereDoc  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`<<-? ?['"\\]?([A-Za-z_][A-Za-z0-9_]*)['"]?`) })
	compared = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(--compare-versions (?:-- )?["']?[$]\{?\w+(?:[:-]+)?\}?["']? "?(?:lt|le|eq|ne|ge|gt)(?:-nl)?"? )[^\s;&|)]+`)
	})
)

func replaceVersions(text string, s Script) string {
	text = compared().ReplaceAllString(text, "${1}VERSION")
	for _, v := range versionForms(s.Version) {
		text = replaceWord(text, v, "VERSION")
	}
	if triplet := triplets[s.Arch]; triplet != "" {
		text = replaceWord(text, triplet, "TRIPLET")
		text = replaceWord(text, s.Arch, "ARCH")
	}
	return text
}

// versionForms are the ways in which a package's build writes its version
// into a script: whole, without epoch, and the upstream part if it is long
// enough to be nothing else.
func versionForms(version string) []string {
	if version == "" {
		return nil
	}
	forms := []string{version}
	_, rest, ok := strings.Cut(version, ":")
	if ok {
		forms = append(forms, rest)
	} else {
		rest = version
	}
	if i := strings.LastIndexByte(rest, '-'); i > 0 && strings.Count(rest[:i], ".") > 0 && i >= 5 {
		forms = append(forms, rest[:i])
	}
	return forms
}

// replaceWord replaces old where it is not part of a longer word.
func replaceWord(text, old, new string) string {
	var b strings.Builder
	for {
		i := strings.Index(text, old)
		if i < 0 {
			b.WriteString(text)
			return b.String()
		}
		end := i + len(old)
		inside := i > 0 && wordByte(text[i-1]) || end < len(text) && wordByte(text[end])
		b.WriteString(text[:i])
		if inside {
			b.WriteString(old)
		} else {
			b.WriteString(new)
		}
		text = text[end:]
		if inside && text == "" {
			return b.String()
		}
	}
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

// triplets are the GNU names that Debian's multiarch folders have.
var triplets = map[string]string{
	"amd64":   "x86_64-linux-gnu",
	"arm64":   "aarch64-linux-gnu",
	"armhf":   "arm-linux-gnueabihf",
	"armel":   "arm-linux-gnueabi",
	"i386":    "i386-linux-gnu",
	"ppc64el": "powerpc64le-linux-gnu",
	"riscv64": "riscv64-linux-gnu",
	"s390x":   "s390x-linux-gnu",
}
