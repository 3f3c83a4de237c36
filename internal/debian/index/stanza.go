package index

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"distroless/internal/debian/relation"
	"distroless/internal/debian/version"
)

// The fields that are kept, in no order of meaning. unknown is any other.
const (
	fPackage = iota
	fVersion
	fArch
	fSource
	fMultiArch
	fPriority
	fEssential
	fPreDepends
	fDepends
	fConflicts
	fBreaks
	fProvides
	fFilename
	fSize
	fSHA256
	fieldCount
	unknown = fieldCount
)

var fieldNames = [fieldCount]string{
	fPackage: "Package", fVersion: "Version", fArch: "Architecture", fSource: "Source", fMultiArch: "Multi-Arch",
	fPriority: "Priority", fEssential: "Essential", fPreDepends: "Pre-Depends", fDepends: "Depends", fConflicts: "Conflicts",
	fBreaks: "Breaks", fProvides: "Provides", fFilename: "Filename", fSize: "Size", fSHA256: "SHA256",
}

// span is a field's value in the text of its stanza, and its line number.
type span struct{ from, to, line int }

// stanza is the paragraph that is being read.
type stanza struct {
	suite string
	words map[string]string // values that come again and again, each kept once

	fields [fieldCount]span // line 0: not there
	last   int              // the field that a continuation line belongs to
	first  int              // number of the first line, 0 before it
	packed []byte           // room to collect the values of one package in
}

// next reads a stanza. It returns nil at the end of the text.
func (s *stanza) next(l *lines) (*Package, error) {
	s.fields, s.first = [fieldCount]span{}, 0
	l.begin()
	for {
		from, to, err := l.next()
		if err == io.EOF && s.first == 0 {
			return nil, nil
		}
		if err == io.EOF || err == nil && from == to && s.first != 0 {
			return s.pkg(l.text())
		}
		if err != nil {
			return nil, err
		}
		if from == to {
			l.begin()
			continue
		}
		if err := s.add(l.text(), from, to, l.number); err != nil {
			return nil, s.explain(l.text(), l.number, err)
		}
	}
}

// explain adds the line and the package to an error.
func (s *stanza) explain(text []byte, line int, err error) error {
	if f := s.fields[fPackage]; f.from != f.to {
		return fmt.Errorf("line %d: package %s: %w", line, clip(text[f.from:f.to]), err)
	}
	return fmt.Errorf("line %d: %w", line, err)
}

// add takes note of a line of text that is not empty.
func (s *stanza) add(text []byte, from, to, number int) error {
	line := text[from:to]
	if line[0] == ' ' || line[0] == '\t' {
		end := trimRight(text, from, to)
		switch {
		case s.first == 0:
			return fmt.Errorf("a continuation line without a field before it")
		case end == from:
			return fmt.Errorf("a line of spaces alone")
		case s.last != unknown:
			s.fields[s.last].to = end
		}
		return nil
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || line[0] == '#' || line[0] == '-' {
		return fmt.Errorf("%q is no field", clip(line))
	}
	if s.first == 0 {
		s.first = number
	}
	s.last = fieldOf(line[:colon])
	if s.last == unknown {
		return nil
	}
	if first := s.fields[s.last].line; first != 0 {
		return fmt.Errorf("field %s is there twice, first in line %d", fieldNames[s.last], first)
	}
	begin := from + colon + 1
	for begin < to && (text[begin] == ' ' || text[begin] == '\t') {
		begin++
	}
	s.fields[s.last] = span{begin, trimRight(text, begin, to), number}
	return nil
}

func trimRight(text []byte, from, to int) int {
	for to > from && (text[to-1] == ' ' || text[to-1] == '\t') {
		to--
	}
	return to
}

// fieldOf finds a name among the fields that are kept.
func fieldOf(name []byte) int {
	for i, known := range &fieldNames {
		// The last letters differ most and are lower-case in every real index.
		if len(known) == len(name) && known[len(known)-1]|0x20 == name[len(name)-1]|0x20 && strings.EqualFold(known, string(name)) {
			return i
		}
	}
	return unknown
}

// pkg makes a package of the stanza that was read.
func (s *stanza) pkg(text []byte) (*Package, error) {
	for _, f := range [...]int{fPackage, fVersion, fArch, fFilename, fSize, fSHA256} {
		if v := s.fields[f]; v.from == v.to {
			return nil, s.explain(text, s.first, fmt.Errorf("field %s is missing or empty", fieldNames[f]))
		}
	}
	p := &Package{
		Arch:      s.word(text, fArch),
		MultiArch: s.word(text, fMultiArch),
		Priority:  s.word(text, fPriority),
		Essential: strings.EqualFold(s.word(text, fEssential), "yes"),
		Suite:     s.suite,
	}
	size, err := strconv.ParseInt(string(s.value(text, fSize)), 10, 64)
	if err != nil || size < 0 || !isDigit(s.value(text, fSize)[0]) {
		return nil, s.explain(text, s.fields[fSize].line, fmt.Errorf("size %q is not a number of bytes", clip(s.value(text, fSize))))
	}
	p.Size = size
	s.pack(text, p)
	if field, err := check(p); err != nil {
		return nil, s.explain(text, s.fields[field].line, err)
	}
	return p, nil
}

func (s *stanza) value(text []byte, f int) []byte { return text[s.fields[f].from:s.fields[f].to] }

// word is a value that many packages share.
func (s *stanza) word(text []byte, f int) string {
	v := s.value(text, f)
	w, ok := s.words[string(v)]
	if !ok {
		w = string(v)
		if len(s.words) < 1000 { // a hostile index has no say in our memory
			s.words[w] = w
		}
	}
	return w
}

// pack sets the strings of p that are its own, all cut from one.
func (s *stanza) pack(text []byte, p *Package) {
	own := [...]struct {
		field int
		to    *string
	}{
		{fPackage, &p.Name}, {fVersion, &p.Version}, {fSource, &p.Source},
		{fPreDepends, &p.PreDepends}, {fDepends, &p.Depends}, {fConflicts, &p.Conflicts}, {fBreaks, &p.Breaks}, {fProvides, &p.Provides},
		{fFilename, &p.Path}, {fSHA256, &p.SHA256},
	}
	s.packed = s.packed[:0]
	for _, o := range own {
		s.packed = append(s.packed, s.value(text, o.field)...)
	}
	all := string(s.packed)
	for _, o := range own {
		n := s.fields[o.field].to - s.fields[o.field].from
		*o.to, all = all[:n], all[n:]
	}
}

// check holds the values of p against what Package promises and completes
// those that have a default. With an error it returns the field at fault.
func check(p *Package) (field int, err error) {
	if !relation.ValidName(p.Name) {
		return fPackage, fmt.Errorf("it is no name for a package")
	}
	if _, err := version.Parse(p.Version); err != nil {
		return fVersion, err
	}
	for i := range len(p.Arch) {
		if c := p.Arch[i]; !isDigit(c) && (c < 'a' || c > 'z') && c != '-' {
			return fArch, fmt.Errorf("architecture %q is no name of one", clip([]byte(p.Arch)))
		}
	}
	if err := splitSource(p); err != nil {
		return fSource, err
	}
	p.Path = strings.TrimPrefix(p.Path, "./") // as flat archives write it
	if err := checkPath(p.Path); err != nil {
		return fFilename, err
	}
	p.SHA256 = strings.ToLower(p.SHA256)
	if len(p.SHA256) != 64 || strings.Trim(p.SHA256, "0123456789abcdef") != "" {
		return fSHA256, fmt.Errorf("sha256 %q is not 64 hexadecimal digits", clip([]byte(p.SHA256)))
	}
	return 0, nil
}

// splitSource takes "name (version)" apart and fills in what is not said.
func splitSource(p *Package) error {
	if p.Source == "" {
		p.Source, p.SourceVersion = p.Name, p.Version
		return nil
	}
	field := p.Source
	name, rest, ok := strings.Cut(field, "(")
	p.Source, p.SourceVersion = strings.TrimRight(name, " "), p.Version
	if ok {
		p.SourceVersion, ok = strings.CutSuffix(rest, ")")
		if _, err := version.Parse(p.SourceVersion); err != nil || !ok {
			return fmt.Errorf("source %q is no name with a version", clip([]byte(field)))
		}
	}
	if !relation.ValidName(p.Source) {
		return fmt.Errorf("source %q is no name for a package", clip([]byte(field)))
	}
	return nil
}

// checkPath lets through what stays below the archive's root.
func checkPath(path string) error {
	bad := path == "" || path[0] == '/' || strings.IndexByte(path, '\\') >= 0
	for i := range len(path) {
		bad = bad || path[i] <= ' ' || path[i] == 0x7f
	}
	for part := range strings.SplitSeq(path, "/") {
		bad = bad || part == ".." || part == "."
	}
	if bad {
		return fmt.Errorf("file name %q is no path below the archive's root", clip([]byte(path)))
	}
	return nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// clip shortens a text for an error.
func clip(b []byte) string {
	if len(b) > 60 {
		return string(b[:60]) + "…"
	}
	return string(b)
}
