package resolve

import (
	"fmt"
	"slices"

	"distroless/internal/debian/index"
	"distroless/internal/debian/relation"
	"distroless/internal/debian/version"
)

// demand is a relation that must be met: of the definition or of a package.
type demand struct {
	parent *node // nil: the definition
	field  string
	group  relation.Group
	*answers
}

// answers is what can meet a group, whoever asks.
type answers struct {
	options []*index.Package // in order of preference, none of them in Base
	below   *node            // of Base, that meets it; nil if none does
	omit    *Omission        // it is waived where nothing meets it
}

// facts is the relations of a package, read.
type facts struct {
	depends  []field
	against  []field // Conflicts and Breaks
	provides []relation.Relation
}

type field struct {
	name  string
	group relation.Group
}

// factsOf reads the relations of p, once. One that cannot be read ends the
// search: see search.broken.
func (s *search) factsOf(p *index.Package) *facts {
	if f, ok := s.facts[p]; ok {
		return f
	}
	f := &facts{}
	s.facts[p] = f
	read := func(name, text string) (fields []field) {
		groups, err := relation.Parse(text)
		if err != nil && s.broken == nil {
			s.broken = fmt.Errorf("read %s of %s: %w", name, p, err)
		}
		for _, g := range groups {
			if g = g.ForArch(s.req.Arch); len(g) > 0 {
				fields = append(fields, field{name, g})
			}
		}
		return fields
	}
	f.depends = append(read("Pre-Depends", p.PreDepends), read("Depends", p.Depends)...)
	f.against = append(read("Conflicts", p.Conflicts), read("Breaks", p.Breaks)...)
	for _, v := range read("Provides", p.Provides) {
		f.provides = append(f.provides, v.group...)
	}
	return f
}

// demandsOf returns what n asks for, in the order of its fields.
func (s *search) demandsOf(n *node) []*demand {
	if n.demands == nil {
		f := s.factsOf(n.pkg)
		n.demands = make([]*demand, len(f.depends))
		for i, d := range f.depends {
			n.demands[i] = &demand{n, d.name, d.group, s.answersTo(d.group, false)}
		}
	}
	return n.demands
}

// answersTo finds what can meet a group. Of what the definition wants, a name
// that exists means the real package.
func (s *search) answersTo(g relation.Group, wanted bool) *answers {
	key := g.String()
	if wanted {
		key = "wanted " + key
	}
	if a, ok := s.answers[key]; ok {
		return a
	}
	a := &answers{}
	s.answers[key] = a
	seen := map[*index.Package]bool{}
	for _, r := range g {
		if a.below == nil {
			a.below = s.below(r, wanted)
		}
		found := s.real(r)
		if !wanted || len(found) == 0 {
			found = append(found, s.providing(r)...)
		}
		for _, p := range found {
			if !seen[p] {
				seen[p] = true
				a.options = append(a.options, p)
			}
		}
	}
	if !wanted {
		a.omit = s.omit[g[0].Name]
		if a.omit == nil && len(a.options) > 0 {
			a.omit = s.omit[a.options[0].Name]
		}
	}
	a.options = slices.DeleteFunc(a.options, func(p *index.Package) bool { return s.omit[p.Name] != nil })
	return a
}

// below finds a package of the levels below that meets r.
func (s *search) below(r relation.Relation, realOnly bool) *node {
	if n := s.base[r.Name]; n != nil && s.meets(r, n.pkg) {
		return n
	}
	if realOnly && (s.base[r.Name] != nil || len(s.pool.versions(r.Name)) > 0) {
		return nil
	}
	for _, v := range s.provided[r.Name] {
		if s.base[v.owner.pkg.Name] == v.owner && s.meets(r, v.owner.pkg) {
			return v.owner
		}
	}
	return nil
}

// real returns the packages of that name that meet r, preferred versions first.
func (s *search) real(r relation.Relation) []*index.Package {
	return s.meeting(r, s.candidates(r.Name, asRequested))
}

// providing returns the packages of other names that meet r.
func (s *search) providing(r relation.Relation) []*index.Package {
	var providers []*index.Package
	for _, name := range s.pool.providersOf(r.Name) {
		if name != r.Name {
			providers = append(providers, s.candidates(name, asRequested)...)
		}
	}
	providers = s.meeting(r, providers)
	slices.SortStableFunc(providers, byPreference)
	return providers
}

func (s *search) meeting(r relation.Relation, packages []*index.Package) []*index.Package {
	var out []*index.Package
	for _, p := range packages {
		if s.meets(r, p) {
			out = append(out, p)
		}
	}
	return out
}

// meets reports whether p, by its own name or one that it provides, is what r
// asks for. A version is only met by a version. See Debian Policy 7.5.
func (s *search) meets(r relation.Relation, p *index.Package) bool {
	if !s.archMeets(r, p) {
		return false
	}
	if p.Name == r.Name && r.Matches(p.Version) {
		return true
	}
	if p.Provides == "" {
		return false
	}
	return slices.ContainsFunc(s.factsOf(p).provides, func(v relation.Relation) bool { return provides(v, r) })
}

// provides reports whether a relation of Provides is what r asks for.
func provides(v, r relation.Relation) bool {
	return v.Name == r.Name && (r.Op == "" || v.Op == "=" && r.Matches(v.Version))
}

// archMeets decides about what follows the colon. With one architecture to
// choose from all that is left of Multi-Arch is that ":any" wants a package
// that says that it serves others: see dpkg's archsatisfied.
func (s *search) archMeets(r relation.Relation, p *index.Package) bool {
	switch r.Qualifier {
	case "", "native", s.req.Arch:
		return true
	case "any":
		return p.MultiArch == "allowed" || p.MultiArch == "foreign"
	}
	return false
}

// mode says which versions of a package may be chosen.
type mode int

const (
	asRequested mode = iota // limits of the definition, levels below and pins apply
	anyVersion              // only the limits of the definition
)

// candidates returns the versions of a package that may be chosen, preferred
// ones first.
func (s *search) candidates(name string, m mode) []*index.Package {
	if m == asRequested {
		if c, ok := s.candidate[name]; ok {
			return c
		}
	}
	all := s.pool.versions(name)
	for _, r := range s.limits[name] {
		all = slices.DeleteFunc(all, func(p *index.Package) bool { return !r.Matches(p.Version) })
	}
	if m == anyVersion {
		return all
	}
	switch {
	case s.base[name] != nil:
		all = nil
	case len(s.req.Pinned) == 0:
		all = all[:min(1, len(all))]
	default:
		if pin, ok := s.req.Pinned[name]; ok {
			slices.SortStableFunc(all, func(a, b *index.Package) int { return isVersion(b, pin) - isVersion(a, pin) })
		}
	}
	s.candidate[name] = all
	return all
}

func isVersion(p *index.Package, v string) int {
	if version.Compare(p.Version, v) == 0 {
		return 1
	}
	return 0
}
