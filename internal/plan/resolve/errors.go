package resolve

import (
	"fmt"
	"slices"
	"strings"

	"distroless/internal/debian/index"
	"distroless/internal/debian/relation"
)

// MissingError is a relation that nothing meets.
type MissingError struct {
	Chain    []string // packages from one that the definition wants to the one with the relation; empty if the definition has it
	Relation string   // "libbar2 (>= 3)"
	Fact     string   // what there is instead
	Mend     string
}

func (e *MissingError) Error() string {
	return chainText(e.Chain, e.Relation) + ": " + e.Fact + ": " + e.Mend
}

// ConflictError is two packages that cannot be in one image.
type ConflictError struct {
	A, B       Party
	Statement  string // what one of them says: "Conflicts: b (<< 2)"; "" if they are versions of one package
	StatedByB  bool
	OfOneImage bool // neither is in a level below
}

// Party is one side of a conflict.
type Party struct {
	Name, Version string
	Chain         []string // packages from one that the definition wants; empty if the definition has the relation
	Relation      string   // that it is there for; "" if it is in a level below
}

func (e *ConflictError) Error() string {
	var b strings.Builder
	if e.Statement == "" {
		fmt.Fprintf(&b, "%s is needed in two versions, %s and %s", e.A.Name, e.A.Version, e.B.Version)
	} else {
		by := e.A
		if e.StatedByB {
			by = e.B
		}
		fmt.Fprintf(&b, "%s %s and %s %s exclude each other (%s: %q)", e.A.Name, e.A.Version, e.B.Name, e.B.Version, by.Name, e.Statement)
	}
	fmt.Fprintf(&b, ": %s; %s: ", e.A.why(), e.B.why())
	if e.OfOneImage {
		b.WriteString(`want or omit a package so that one of them is not needed, or name another alternative in "packages"`)
	} else {
		b.WriteString(`what is below an image cannot change: run "distroless lock" if the levels below are older, else start from a smaller image`)
	}
	return b.String()
}

func (p Party) why() string {
	if p.Relation == "" {
		return fmt.Sprintf("%s %s is in a level below", p.Name, p.Version)
	}
	if len(p.Chain) == 0 {
		return fmt.Sprintf("%s %s is wanted by the definition", p.Name, p.Version)
	}
	return fmt.Sprintf("%s %s is there for %s", p.Name, p.Version, chainText(p.Chain, p.Relation))
}

// chainText is "a -> b -> relation".
func chainText(chain []string, relation string) string {
	return strings.Join(append(slices.Clone(chain), relation), " -> ")
}

// SearchError is a dead end that remains whatever is chosen.
type SearchError struct {
	First  error // where the preferred choices lead: a *MissingError or *ConflictError
	Last   error // where the last ones led, nil if that is the same
	Tried  int   // choices
	GaveUp bool  // there are more
}

func (e *SearchError) Error() string {
	s := fmt.Sprintf("%v (%d choices among alternatives were tried", e.First, e.Tried)
	if e.GaveUp {
		s += ", and that is where the search ends"
	}
	if e.Last != nil {
		s += fmt.Sprintf("; the last one failed with: %v", e.Last)
	}
	return s + ")"
}

func (e *SearchError) Unwrap() error { return e.First }

// explain makes an error of the dead ends.
func (s *search) explain() error {
	first := s.deadEndError(s.first)
	if s.tries == 0 {
		return first
	}
	e := &SearchError{First: first, Tried: min(s.tries, maxTries), GaveUp: s.tries > maxTries}
	if last := s.deadEndError(s.last); last.Error() != first.Error() {
		e.Last = last
	}
	return e
}

func (s *search) deadEndError(e *deadEnd) error {
	if e.clash != nil {
		return s.conflictError(e.clash)
	}
	return s.missingError(e.demand)
}

func (s *search) conflictError(c *clash) *ConflictError {
	e := &ConflictError{A: party(c.pkg, c.by), B: party(c.with.pkg, c.with.by), StatedByB: c.back, OfOneImage: c.with.by != nil}
	if c.field != "" {
		e.Statement = c.field + ": " + c.rel.String()
	}
	return e
}

func party(p *index.Package, by *demand) Party {
	out := Party{Name: p.Name, Version: p.Version}
	if by != nil {
		out.Chain, out.Relation = by.chain(), by.group.String()
	}
	return out
}

// chain is the packages from one that the definition wants to d's own.
func (d *demand) chain() []string {
	var names []string
	for ; d.parent != nil; d = d.parent.by {
		names = append(names, d.parent.pkg.Name)
	}
	slices.Reverse(names)
	return names
}

// missingError explains why nothing meets d.
func (s *search) missingError(d *demand) *MissingError {
	e := &MissingError{Chain: d.chain(), Relation: d.group.String()}
	var facts []string
	for _, r := range d.group {
		fact, mend := s.missingFact(r)
		facts = append(facts, fact)
		if e.Mend == "" {
			e.Mend = mend
		}
	}
	e.Fact = strings.Join(slices.Compact(facts), "; ")
	if e.Mend == "" && d.parent == nil {
		e.Mend = `correct "packages", or give the suite that has it`
	} else if e.Mend == "" {
		e.Mend = fmt.Sprintf(`add %s to "omit" with a reason if the image works without it, or give the suite that has it`, d.group[0].Name)
	}
	return e
}

// missingFact says what there is in place of r, and what to do if that is
// special.
func (s *search) missingFact(r relation.Relation) (fact, mend string) {
	where := fmt.Sprintf("%s for %s", s.pool.suitesText(), s.req.Arch)
	if n := s.base[r.Name]; n != nil {
		return fmt.Sprintf("a level below holds %s %s", r.Name, n.pkg.Version), `run "distroless lock", so that all levels move together`
	}
	if r.Qualifier != "" && !s.archMeetsAny(r) {
		return fmt.Sprintf("no %s in %s meets %q", r.Name, where, ":"+r.Qualifier), ""
	}
	if s.omit[r.Name] != nil {
		return r.Name + " is omitted", ""
	}
	all := s.pool.versions(r.Name)
	for _, p := range all {
		if !r.Matches(p.Version) {
			continue
		}
		for _, l := range s.limits[r.Name] {
			if !l.Matches(p.Version) {
				return fmt.Sprintf("%s %s would do, but the definition wants %s", p.Name, p.Version, l), `change the version in "packages"`
			}
		}
		return fmt.Sprintf("the newest is %s in %s, only the older %s in %s would do", all[0].Version, all[0].Suite, p.Version, p.Suite),
			fmt.Sprintf(`wait until the suites agree, or add "%s (= %s)" to "packages" to take the older one`, p.Name, p.Version)
	}
	if len(all) > 0 {
		return fmt.Sprintf("%s for %s has only %s", all[0].Suite, s.req.Arch, all[0].Version), ""
	}
	fact = "not in " + where
	if near := s.pool.nearest(r.Name); near != "" {
		fact += fmt.Sprintf(" (there is %s)", near)
	}
	return fact, ""
}

func (s *search) archMeetsAny(r relation.Relation) bool {
	return slices.ContainsFunc(s.pool.versions(r.Name), func(p *index.Package) bool { return s.archMeets(r, p) })
}
