package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Source is an enabled entry of apt's sources for binary packages.
type Source struct {
	Position   string // file:line of where it begins
	URIs       []string
	Suites     []string
	Components []string
	Arches     []string // the Architectures option, as written
	SignedBy   string   // paths, fingerprints or an embedded key, as written
}

// MachineSources reads etc/apt/sources.list and the files of
// etc/apt/sources.list.d, in apt's order. Files that are not there, or that this
// user may not read, have none. See sources.list(5).
func MachineSources(machine fs.FS) ([]Source, error) {
	files := []string{"etc/apt/sources.list"}
	entries, err := fs.ReadDir(machine, "etc/apt/sources.list.d")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read apt's sources: %w", err)
	}
	for _, e := range entries {
		if aptReads(e.Name()) {
			files = append(files, "etc/apt/sources.list.d/"+e.Name())
		}
	}
	var all []Source
	for _, name := range files {
		text, err := fs.ReadFile(machine, name)
		// One that this user may not read holds somebody's password.
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read apt's sources: %w", err)
		}
		parse := ParseOneLine
		if path.Ext(name) == ".sources" {
			parse = ParseSources
		}
		sources, err := parse(name, string(text))
		if err != nil {
			return nil, fmt.Errorf("read apt's sources: %w", err)
		}
		all = append(all, sources...)
	}
	return all, nil
}

// aptReads reports whether apt would read a file of that name: letters,
// digits, underscores, hyphens and periods, and a known ending.
func aptReads(name string) bool {
	if ext := path.Ext(name); ext != ".list" && ext != ".sources" || strings.HasPrefix(name, ".") {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.'
	})
}

// ParseOneLine reads the one-line format: "deb [option=value] URI suite
// component...". The name is used in errors.
func ParseOneLine(name, text string) ([]Source, error) {
	var all []Source
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		s := Source{Position: fmt.Sprintf("%s:%d", name, n+1)}
		kind := words[0]
		if kind != "deb" && kind != "deb-src" {
			return nil, fmt.Errorf("%s: %q, want deb or deb-src", s.Position, kind)
		}
		words, err := s.options(words[1:])
		if err != nil {
			return nil, err
		}
		words = joinBracketed(words)
		if len(words) < 2 {
			return nil, fmt.Errorf("%s: want an address and a suite after %q", s.Position, kind)
		}
		s.URIs, s.Suites, s.Components = words[:1], words[1:2], words[2:]
		if len(s.Components) == 0 && !isFlat(words[1]) {
			return nil, fmt.Errorf("%s: suite %s has no component", s.Position, words[1])
		}
		if kind == "deb" {
			all = append(all, s)
		}
	}
	return all, nil
}

// options takes the bracketed options off the front of an entry's words:
// "[", "arch=amd64", "]" may be one word, or several.
func (s *Source) options(words []string) (rest []string, err error) {
	if len(words) == 0 || !strings.HasPrefix(words[0], "[") {
		return words, nil
	}
	words = slices.Clone(words)
	words[0] = strings.TrimPrefix(words[0], "[")
	for i, word := range words {
		option, last := strings.CutSuffix(word, "]")
		key, value, _ := strings.Cut(option, "=")
		switch strings.ToLower(strings.TrimRight(key, "+-")) {
		case "arch":
			s.Arches = strings.Split(value, ",")
		case "signed-by":
			s.SignedBy = value
		}
		if last {
			return words[i+1:], nil
		}
	}
	return nil, fmt.Errorf("%s: options begin with [ but do not end", s.Position)
}

// joinBracketed puts an address such as "cdrom:[Debian 12 amd64]/" together,
// the one kind that has spaces in it.
func joinBracketed(words []string) []string {
	if len(words) == 0 || !strings.HasPrefix(words[0], "cdrom:[") {
		return words
	}
	for i, w := range words {
		if strings.Contains(w, "]") {
			return append([]string{strings.Join(words[:i+1], " ")}, words[i+1:]...)
		}
	}
	return words
}

// ParseSources reads the deb822 format: paragraphs with Types, URIs, Suites
// and so on. The name is used in errors.
func ParseSources(name, text string) ([]Source, error) {
	var all []Source
	for _, p := range splitParagraphs(text) {
		position := fmt.Sprintf("%s:%d", name, p.line)
		fields, err := parseStanza(p.text)
		if err != nil {
			return nil, fmt.Errorf("%s: paragraph: %w", position, err)
		}
		if isNo(fields["enabled"]) {
			continue
		}
		s := Source{
			Position: position, URIs: strings.Fields(fields["uris"]), Suites: strings.Fields(fields["suites"]),
			Components: strings.Fields(fields["components"]), Arches: strings.Fields(fields["architectures"]),
			SignedBy: strings.TrimSpace(fields["signed-by"]),
		}
		types := strings.Fields(fields["types"])
		for _, field := range []string{"Types", "URIs", "Suites"} {
			if strings.TrimSpace(fields[strings.ToLower(field)]) == "" {
				return nil, fmt.Errorf("%s: paragraph without %s", position, field)
			}
		}
		if slices.Contains(types, "deb") {
			all = append(all, s)
		}
	}
	return all, nil
}

type paragraph struct {
	line int // where it begins, from 1
	text string
}

// splitParagraphs takes the comments out, which may stand anywhere, in the
// middle of a field too, and splits at empty lines.
func splitParagraphs(text string) []paragraph {
	var all []paragraph
	open := false
	for n, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			open = false
		case open:
			all[len(all)-1].text += line + "\n"
		default:
			open = true
			all = append(all, paragraph{n + 1, line + "\n"})
		}
	}
	return all
}

// isNo reads a boolean as apt does.
func isNo(s string) bool {
	return slices.Contains([]string{"no", "false", "without", "off", "disable", "0"}, strings.ToLower(strings.TrimSpace(s)))
}
