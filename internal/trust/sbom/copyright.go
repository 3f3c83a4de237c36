package sbom

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"distroless/internal/debian/deb822"
)

// licence is what a package's copyright file says: an SPDX expression, and the
// texts of the licences in it that have no SPDX name.
type licence struct {
	expression string            // "" where the file says nothing
	texts      map[string]string // by LicenseRef-...
}

// noText stands for a licence whose text the copyright file does not give.
const noText = "The copyright file names this licence and does not give its text."

// readCopyright reads a copyright file: in Debian's machine-readable format
// 1.0, else whole, as a licence of its own.
func readCopyright(data []byte) licence {
	if len(data) == 0 {
		return licence{}
	}
	if l, ok := machineReadable(data); ok {
		return l
	}
	sum := sha256.Sum256(data)
	ref := "LicenseRef-copyright-" + hex.EncodeToString(sum[:8])
	return licence{expression: ref, texts: map[string]string{ref: validText(data)}}
}

// machineReadable reads the licences of all paragraphs. Each holds for some
// files, so that the package is under all of them.
func machineReadable(data []byte) (licence, bool) {
	first, _, _ := bytes.Cut(bytes.TrimLeft(data, " \t\r\n"), []byte("\n"))
	name, value, _ := strings.Cut(string(first), ":")
	if !strings.EqualFold(name, "Format") && !strings.EqualFold(name, "Format-Specification") || !strings.Contains(value, "copyright") && !strings.Contains(value, "dep5") && !strings.Contains(value, "dep-5") {
		return licence{}, false
	}
	paragraphs, err := deb822.Parse(data)
	if err != nil {
		return licence{}, false
	}
	texts := map[string]string{} // by short name, in lower case
	var names []string
	for _, p := range paragraphs {
		short, text, _ := strings.Cut(p.Get("License"), "\n")
		short = strings.Join(strings.Fields(short), " ")
		if key := strings.ToLower(short); texts[key] == "" {
			texts[key] = unfold(text)
		}
		_, files := p.Lookup("Files")
		_, format := p.Lookup("Format")
		if short != "" && (files || format) {
			names = append(names, short)
		}
	}
	l := licence{texts: map[string]string{}}
	var parts []string
	for _, n := range names {
		e := expression(n, func(name string) string {
			ref := licenceRef(name)
			text := texts[strings.ToLower(name)]
			if text == "" {
				text = texts[strings.ToLower(n)]
			}
			if text == "" {
				text = noText
			}
			l.texts[ref] = validText([]byte(text))
			return ref
		})
		if e != "" && !slices.Contains(parts, e) {
			parts = append(parts, e)
		}
	}
	if len(parts) == 0 {
		return licence{}, false
	}
	slices.Sort(parts)
	l.expression = joinExpressions(parts, " AND ")
	return l, true
}

// unfold takes off what continuation lines of deb822 have before the text.
func unfold(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		line = strings.TrimPrefix(line, " ")
		if strings.TrimSpace(line) == "." {
			line = ""
		}
		lines[i] = strings.TrimRight(line, " \t\r")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

// validText is text as JSON can hold it.
func validText(data []byte) string { return strings.ToValidUTF8(string(data), "\uFFFD") }
