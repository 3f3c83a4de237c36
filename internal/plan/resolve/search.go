package resolve

import (
	"fmt"
	"slices"

	"distroless/internal/debian/index"
	"distroless/internal/debian/relation"
)

// maxTries bounds the search. Real archives need a handful of second choices;
// an archive made to be hard must not keep a build busy for ever.
const maxTries = 20000

// node is a package that is chosen, or one of Base.
type node struct {
	pkg     *index.Package
	by      *demand // nil: of Base
	levels  levels  // the decisions that it is there for
	demands []*demand
}

// search is one resolution.
type search struct {
	req    Request
	pool   *Pool
	limits map[string][]relation.Relation // what the definition says about versions
	base   map[string]*node
	omit   map[string]*Omission
	wanted []*demand

	// What was looked up already.
	facts     map[*index.Package]*facts
	answers   map[string]*answers
	candidate map[string][]*index.Package

	// The state, Base included. Everything after a mark can be taken back.
	trail    []*node
	present  map[string]*node
	provided map[string][]provision // by provided name
	claims   map[string][]claim     // by the name that someone conflicts with

	tries       int      // choices made where there was one
	first, last *deadEnd // of those met on the way
	broken      error    // a relation that cannot be read
}

type provision struct {
	owner *node
	as    relation.Relation
}

type claim struct {
	owner *node
	field string
	rel   relation.Relation
}

// newSearch checks the request and puts Base in place.
func newSearch(req Request) (*search, error) {
	s := &search{
		req: req, pool: req.Pool,
		limits: map[string][]relation.Relation{}, base: map[string]*node{}, omit: map[string]*Omission{},
		facts: map[*index.Package]*facts{}, answers: map[string]*answers{}, candidate: map[string][]*index.Package{},
		present: map[string]*node{}, provided: map[string][]provision{}, claims: map[string][]claim{},
	}
	if req.Arch == "" {
		return nil, fmt.Errorf("resolve packages: no architecture is given")
	}
	if s.pool == nil {
		s.pool = NewPool(req.Arch, req.Available)
	}
	if s.pool.arch != req.Arch {
		return nil, fmt.Errorf("resolve packages for %s: the pool is for %s", req.Arch, s.pool.arch)
	}
	for _, p := range req.Base {
		if other := s.base[p.Name]; other != nil && other.pkg.Version != p.Version {
			return nil, fmt.Errorf("resolve packages: the levels below hold %s in versions %s and %s: run \"distroless lock\"", p.Name, other.pkg.Version, p.Version)
		} else if other != nil {
			continue
		}
		s.base[p.Name] = &node{pkg: p}
		s.put(s.base[p.Name])
	}
	groups := s.readWanted()
	if err := s.readOmissions(groups); err != nil {
		return nil, err
	}
	for _, g := range groups {
		s.wanted = append(s.wanted, &demand{nil, "", g, s.answersTo(g, true)})
	}
	return s, nil
}

// readWanted returns what the definition wants for this architecture, and
// takes note of the versions.
func (s *search) readWanted() []relation.Group {
	var groups []relation.Group
	for _, g := range s.req.Wanted {
		g = g.ForArch(s.req.Arch)
		if len(g) == 0 {
			continue
		}
		groups = append(groups, g)
		if len(g) == 1 && g[0].Op != "" {
			s.limits[g[0].Name] = append(s.limits[g[0].Name], g[0])
		}
	}
	return groups
}

// readOmissions takes the omissions that count: the first of a name, and none
// for a package that is wanted, since a level may want what one below it left
// out.
func (s *search) readOmissions(wanted []relation.Group) error {
	for i := range s.req.Omit {
		o := &s.req.Omit[i]
		if o.Reason == "" {
			return fmt.Errorf("omit %s: it has no reason: say why the image works without it", o.Package)
		}
		isWanted := slices.ContainsFunc(wanted, func(g relation.Group) bool { return len(g) == 1 && g[0].Name == o.Package })
		if s.omit[o.Package] == nil && !isWanted {
			s.omit[o.Package] = o
		}
	}
	return nil
}

// run chooses packages for all that is wanted, in the order of choosing.
func (s *search) run() ([]*node, error) {
	below := len(s.trail)
	if _, ok := s.solve(slices.Clone(s.wanted), 1); !ok {
		return nil, s.explain()
	}
	return s.trail[below:], nil
}

// solve meets the demands, each decision one level deeper. If that cannot be,
// it leaves everything as it was and says which decisions are to blame.
func (s *search) solve(demands []*demand, level int) (blame levels, ok bool) {
	mark := len(s.trail)
	open, blame, ok := s.propagate(demands)
	if !ok {
		s.takeBack(mark)
		return blame, false
	}
	decided := len(s.trail)
	if len(open) == 0 || s.broken != nil {
		return nil, true
	}
	d := open[0]
	blame = d.levels()
	for _, p := range d.options {
		if c := s.clash(p, d); c != nil {
			blame = blame.union(c.with.levels)
			continue
		}
		if s.tries++; s.tries > maxTries {
			break
		}
		n := s.choose(p, d, d.levels().add(level))
		why, ok := s.solve(append(slices.Clone(open[1:]), s.demandsOf(n)...), level+1)
		if ok {
			return nil, true
		}
		s.takeBack(decided)
		if !why.has(level) { // whatever is chosen here, it ends the same way
			blame = why
			break
		}
		blame = blame.union(why.remove(level))
	}
	s.takeBack(mark)
	return blame, false
}

// propagate meets the demands that leave no choice, and those that follow from
// them, and returns the others that nothing meets yet.
func (s *search) propagate(demands []*demand) (open []*demand, blame levels, ok bool) {
	for queue, again := demands, true; again; queue = open {
		again, open = false, nil
		for i := 0; i < len(queue); i++ {
			d := queue[i]
			if d.below != nil || d.omit != nil || s.metNow(d) {
				continue
			}
			only, several, blame := s.viable(d)
			switch {
			case only == nil:
				return nil, blame, false
			case !several:
				n := s.choose(only, d, blame)
				queue = append(queue, s.demandsOf(n)...)
				again = true
			default:
				open = append(open, d)
			}
		}
	}
	return open, nil, true
}

// viable finds the first option of d that goes with what is chosen, nil if
// none does, and whether there are several. If not, blame is the decisions that
// demand d and rule out the others. A dead end is noted.
func (s *search) viable(d *demand) (only *index.Package, several bool, blame levels) {
	blame = d.levels()
	var first *clash
	for _, p := range d.options {
		c := s.clash(p, d)
		if c == nil {
			if only != nil {
				return only, true, nil
			}
			only = p
			continue
		}
		blame = blame.union(c.with.levels)
		if first == nil {
			first = c
		}
	}
	if only == nil {
		s.last = &deadEnd{d, first}
		if s.first == nil {
			s.first = s.last
		}
	}
	return only, false, blame
}

// metNow reports whether a chosen package meets d.
func (s *search) metNow(d *demand) bool {
	return slices.ContainsFunc(d.options, func(p *index.Package) bool {
		n := s.present[p.Name]
		return n != nil && n.pkg == p
	})
}

// levels is the decisions that d is there for.
func (d *demand) levels() levels {
	if d.parent == nil {
		return nil
	}
	return d.parent.levels
}

// choose adds p to what is chosen.
func (s *search) choose(p *index.Package, d *demand, why levels) *node {
	n := &node{pkg: p, by: d, levels: why}
	s.put(n)
	return n
}

func (s *search) put(n *node) {
	f := s.factsOf(n.pkg)
	s.trail = append(s.trail, n)
	s.present[n.pkg.Name] = n
	for _, r := range f.provides {
		s.provided[r.Name] = append(s.provided[r.Name], provision{n, r})
	}
	for _, a := range f.against {
		for _, r := range a.group {
			s.claims[r.Name] = append(s.claims[r.Name], claim{n, a.name, r})
		}
	}
}

// takeBack undoes choices until only mark of them are left.
func (s *search) takeBack(mark int) {
	for len(s.trail) > mark {
		n := s.trail[len(s.trail)-1]
		s.trail = s.trail[:len(s.trail)-1]
		delete(s.present, n.pkg.Name)
		f := s.factsOf(n.pkg)
		for _, r := range f.provides {
			s.provided[r.Name] = s.provided[r.Name][:len(s.provided[r.Name])-1]
		}
		for _, a := range f.against {
			for _, r := range a.group {
				s.claims[r.Name] = s.claims[r.Name][:len(s.claims[r.Name])-1]
			}
		}
	}
}

// deadEnd is a demand that nothing can meet, with the first of its options
// that something speaks against, if it has any.
type deadEnd struct {
	demand *demand
	clash  *clash
}

// clash is why a package cannot be chosen.
type clash struct {
	pkg   *index.Package // that cannot be chosen
	by    *demand        // that it would be chosen for
	with  *node          // what it does not go with
	field string         // "Conflicts", "Breaks", or "" for two versions of one package
	rel   relation.Relation
	back  bool // the field is with's
}

// clash finds something chosen that p does not go with. See Debian Policy 7.3,
// 7.4: virtual names count, and nothing conflicts with itself.
func (s *search) clash(p *index.Package, d *demand) *clash {
	if n := s.present[p.Name]; n != nil {
		if n.pkg == p {
			return nil
		}
		return &clash{pkg: p, by: d, with: n}
	}
	f := s.factsOf(p)
	for _, a := range f.against {
		for _, r := range a.group {
			if n := s.target(r, p.Name); n != nil {
				return &clash{p, d, n, a.name, r, false}
			}
		}
	}
	for _, c := range s.claims[p.Name] {
		if c.owner.pkg.Name != p.Name && c.rel.Matches(p.Version) && s.archConcerns(c.rel) {
			return &clash{p, d, c.owner, c.field, c.rel, true}
		}
	}
	for _, v := range f.provides {
		for _, c := range s.claims[v.Name] {
			if c.owner.pkg.Name != p.Name && provides(v, c.rel) && s.archConcerns(c.rel) {
				return &clash{p, d, c.owner, c.field, c.rel, true}
			}
		}
	}
	return nil
}

// target finds a chosen package, other than the one named, that a Conflicts or
// Breaks relation means.
func (s *search) target(r relation.Relation, self string) *node {
	if !s.archConcerns(r) {
		return nil
	}
	if n := s.present[r.Name]; n != nil && r.Name != self && r.Matches(n.pkg.Version) {
		return n
	}
	for _, v := range s.provided[r.Name] {
		if v.owner.pkg.Name != self && provides(v.as, r) {
			return v.owner
		}
	}
	return nil
}

// archConcerns reports whether a Conflicts or Breaks relation means packages
// of our architecture. Unlike a dependency it needs no Multi-Arch field.
func (s *search) archConcerns(r relation.Relation) bool {
	return r.Qualifier == "" || r.Qualifier == "any" || r.Qualifier == "native" || r.Qualifier == s.req.Arch
}
