package relation

import (
	"fmt"
	"strings"

	"distroless/internal/debian/version"
)

// maxText bounds a field. The longest real ones, of packages that provide
// thousands of Rust crates' features, are about 20 kB.
const maxText = 1 << 20

// Parse reads a field: groups with commas between them, alternatives with
// "|". Spaces and line ends may stand anywhere between the parts, empty groups
// are skipped, and "<" and ">" mean "<=" and ">=" as they always did. Build
// profiles, variables of a source package and whatever else has no place in a
// binary package are errors that name the place.
func Parse(s string) ([]Group, error) {
	if len(s) > maxText {
		return nil, fmt.Errorf("read relations: %d bytes are more than %d", len(s), maxText)
	}
	var groups []Group
	p := parser{text: s}
	for p.skipSpace(); p.pos < len(s); p.skipSpace() {
		if p.take(',') {
			continue
		}
		g, err := p.group(strings.Count(cutAt(s[p.pos:], ','), "|") + 1)
		if err != nil {
			return nil, fmt.Errorf("read relation %q at %q: %w", cutAt(p.text[p.start:], ','), clip(p.text[p.pos:]), err)
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// ParseOne reads a single relation without alternatives, such as "gcc (>= 12)".
func ParseOne(s string) (Relation, error) {
	groups, err := Parse(s)
	if err != nil {
		return Relation{}, err
	}
	if len(groups) != 1 || len(groups[0]) != 1 {
		return Relation{}, fmt.Errorf("read relation %q: want exactly one", clip(s))
	}
	return groups[0][0], nil
}

type parser struct {
	text  string
	pos   int
	start int // of the group that is being read
}

func (p *parser) skipSpace() {
	for p.pos < len(p.text) && isSpace(p.text[p.pos]) {
		p.pos++
	}
}

func (p *parser) take(c byte) bool {
	if p.pos < len(p.text) && p.text[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

// until returns the text up to one of stops, trimmed, and stands on the stop.
func (p *parser) until(stops string) string {
	begin := p.pos
	for p.pos < len(p.text) && strings.IndexByte(stops, p.text[p.pos]) < 0 {
		p.pos++
	}
	return strings.TrimRight(p.text[begin:p.pos], " \t\r\n")
}

func (p *parser) group(size int) (Group, error) {
	p.start = p.pos
	g := make(Group, 0, min(size, 64))
	for {
		r, err := p.relation()
		if err != nil {
			return nil, err
		}
		g = append(g, r)
		p.skipSpace()
		switch {
		case p.take('|'):
			p.skipSpace()
		case p.pos == len(p.text) || p.take(','):
			return g, nil
		default:
			return nil, fmt.Errorf("want a comma, a bar or the end")
		}
	}
}

func (p *parser) relation() (Relation, error) {
	begin := p.pos
	for p.pos < len(p.text) && isNameByte(p.text[p.pos]) {
		p.pos++
	}
	r := Relation{Name: p.text[begin:p.pos]}
	if r.Name == "" || !isAlphanumeric(r.Name[0]) {
		p.pos = begin
		return r, fmt.Errorf("want the name of a package")
	}
	if p.take(':') {
		begin = p.pos
		for p.pos < len(p.text) && (isAlphanumeric(p.text[p.pos]) || p.text[p.pos] == '-') {
			p.pos++
		}
		if r.Qualifier = p.text[begin:p.pos]; r.Qualifier == "" {
			return r, fmt.Errorf("want an architecture after the colon")
		}
	}
	p.skipSpace()
	if p.take('(') {
		if err := p.constraint(&r); err != nil {
			return r, err
		}
		p.skipSpace()
	}
	if p.take('[') {
		if err := p.archs(&r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// constraint reads what follows an opening parenthesis.
func (p *parser) constraint(r *Relation) error {
	p.skipSpace()
	begin := p.pos
	for p.pos < len(p.text) && strings.IndexByte("<=>", p.text[p.pos]) >= 0 {
		p.pos++
	}
	switch op := p.text[begin:p.pos]; op {
	case "<<", "<=", "=", ">=", ">>":
		r.Op = op
	case "<", ">":
		r.Op = op + "="
	default:
		p.pos = begin
		return fmt.Errorf("want one of << <= = >= >>")
	}
	p.skipSpace()
	begin = p.pos
	r.Version = p.until(")")
	if _, err := version.Parse(r.Version); err != nil {
		p.pos = begin
		return err
	}
	if !p.take(')') {
		return fmt.Errorf("want a closing parenthesis")
	}
	return nil
}

// archs reads what follows an opening bracket.
func (p *parser) archs(r *Relation) error {
	begin := p.pos
	r.Archs = strings.Fields(p.until("]"))
	if !p.take(']') || len(r.Archs) == 0 {
		p.pos = begin
		return fmt.Errorf("want architectures and a closing bracket")
	}
	for _, a := range r.Archs {
		name, negated := strings.CutPrefix(a, "!")
		if negated != (r.Archs[0][0] == '!') {
			p.pos = begin
			return fmt.Errorf("want architectures with ! before all of them or none")
		}
		if name == "" || strings.ContainsFunc(name, func(c rune) bool { return c > '~' || !isAlphanumeric(byte(c)) && c != '-' }) {
			p.pos = begin
			return fmt.Errorf("%q is no architecture", name)
		}
	}
	return nil
}

// ValidName reports whether a package may have that name. It is as lenient as
// dpkg, which takes capitals and underscores too: other archives have them.
func ValidName(s string) bool {
	if s == "" || !isAlphanumeric(s[0]) {
		return false
	}
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return true
}

func isNameByte(c byte) bool {
	return isAlphanumeric(c) || c == '-' || c == '+' || c == '.' || c == '_'
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// cutAt returns s up to the first c.
func cutAt(s string, c byte) string {
	if i := strings.IndexByte(s, c); i >= 0 {
		return s[:i]
	}
	return s
}

// clip shortens a text for an error.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
