// Package resolve chooses the packages of an image: those that the definition
// wants and, for each, what its Depends and Pre-Depends ask for.
//
// It works on packages from any number of suites together and takes the
// newest version of each; it never steps back to an older one unless the
// definition asks for that version or versions are fixed already (see
// [Request.Pinned]). Recommends are not followed and essential packages are
// not implied. The result depends on the request's content alone, never on the
// order of its packages.
//
// Begin at [Resolve]. [Why] explains a finished set of packages. What is
// fetched and written down afterwards is for other packages: nothing here
// touches network or disk.
//
// How choices are made: a relation with one way to meet it is met first; then
// the first open relation takes its first alternative, a real package before
// one that provides the name, and so on. What is chosen already, or in a level
// below, meets a relation whatever the preference. A choice that ends in a
// conflict is taken back and the next one tried. At the end everything is
// dropped again that another chosen package stands in for.
package resolve

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"distroless/internal/debian/index"
	"distroless/internal/debian/relation"
	"distroless/internal/debian/version"
)

// Request is what an image needs and what there is to choose from.
type Request struct {
	Arch string // Debian's name: "amd64"

	// Available is the packages of all suites together, several versions of a
	// name among them; those of another architecture than Arch and "all" are
	// passed over. Pool, if set, is used in its place.
	Available []*index.Package
	Pool      *Pool

	// Wanted is from the definition; restrictions to architectures are applied
	// here. A name that exists as a real package means that package, not one
	// that provides it. A version in a group without alternatives decides which
	// version of that package is taken, wherever else it is needed.
	Wanted []relation.Group

	// Base is the packages of the levels below. They meet relations and never
	// change; what conflicts with them is an error. Their own relations were
	// answered for when they were chosen.
	Base []*index.Package

	// Pinned is the versions, by name, that other cells of the distro have
	// fixed. Such a version is taken before a newer one; where it is gone from
	// the archive or fits nothing, another is taken and reported in
	// Result.Moved. With any pin, older versions of the other packages are
	// tried too, last, since the newest may not go with what is fixed; these
	// are reported in Result.Held.
	Pinned map[string]string

	// Omit may hold the omissions of the levels below too: of several for one
	// package the first counts, and none for a package that Wanted names alone.
	Omit []Omission
}

// Omission is a package that the definition leaves out, though others depend
// on it. A relation is waived if the alternative that would be taken for it is
// that package or names it, unless something else that is chosen, or a level
// below, meets the relation anyway.
type Omission struct {
	Package string
	Reason  string
}

// Result is the packages of one image, in one level, and what was decided
// about them.
type Result struct {
	Packages []Choice // sorted by name, without Base
	Waivers  []Waiver // sorted by package, then in the order of its relations
	Unused   []string // omitted packages that no relation was waived for, sorted
	Moved    []Move   // sorted by name
	Held     []Move   // sorted by name
}

// Choice is a package and why it is there.
type Choice struct {
	*index.Package
	Because Reason
	Needs   []string // the packages, here or in Base, that meet its relations, sorted; without itself
}

// Reason is the relation that a package was chosen for, the nearest to the
// definition if there are several.
type Reason struct {
	Parent   string // the package that has the relation; "" if the definition wants it
	Field    string // "Depends" or "Pre-Depends"; "" if the definition wants it
	Relation string // "libssl3t64 (>= 3.5.0)"
}

// Waiver is a relation that nothing in the image meets, by the definition's will.
type Waiver struct {
	Package  string // that has the relation
	Field    string
	Relation string
	Omitted  string // the package left out
	Reason   string // the definition's
}

// Move is a package in another version than expected.
type Move struct {
	Package string
	Want    string // the version that is pinned, or the newest in the archive
	Chosen  string
	Because string // why, in words
}

// Resolve chooses packages. Where they do not fit together the error is a
// [*MissingError] or a [*ConflictError], inside a [*SearchError] if second
// choices were tried; any other says what is wrong with the request or with an
// unreadable relation.
func Resolve(req Request) (*Result, error) {
	s, err := newSearch(req)
	if err != nil {
		return nil, err
	}
	nodes, err := s.run()
	if s.broken != nil {
		return nil, s.broken
	}
	if err != nil {
		return nil, err
	}
	kept := s.prune(nodes)
	return s.result(kept), nil
}

// result describes the final set.
func (s *search) result(kept []*node) *Result {
	r := &Result{}
	in := setOf(kept)
	reasons := s.reasons(in)
	for _, n := range kept {
		r.Packages = append(r.Packages, Choice{n.pkg, reasons[n.pkg.Name], s.needs(n, in)})
		s.noteVersion(r, n, kept)
		for _, d := range s.demandsOf(n) {
			if d.omit != nil && d.below == nil && d.metBy(in, nil) == nil {
				r.Waivers = append(r.Waivers, Waiver{n.pkg.Name, d.field, d.group.String(), d.omit.Package, d.omit.Reason})
			}
		}
	}
	byName := func(a, b Move) int { return strings.Compare(a.Package, b.Package) }
	slices.SortFunc(r.Packages, func(a, b Choice) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(r.Waivers, func(a, b Waiver) int { return strings.Compare(a.Package, b.Package) })
	slices.SortFunc(r.Moved, byName)
	slices.SortFunc(r.Held, byName)
	for _, o := range s.req.Omit {
		if !slices.ContainsFunc(r.Waivers, func(w Waiver) bool { return w.Omitted == o.Package }) {
			r.Unused = append(r.Unused, o.Package)
		}
	}
	slices.Sort(r.Unused)
	r.Unused = slices.Compact(r.Unused)
	return r
}

// needs names what meets the relations of n.
func (s *search) needs(n *node, in set) []string {
	var names []string
	for _, d := range s.demandsOf(n) {
		by := d.below
		if by == nil {
			by = d.metBy(in, nil)
		}
		if by != nil && by != n {
			names = append(names, by.pkg.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// noteVersion reports a version that is neither pinned nor the newest.
func (s *search) noteVersion(r *Result, n *node, kept []*node) {
	p := n.pkg
	if pin, ok := s.req.Pinned[p.Name]; ok {
		if version.Compare(pin, p.Version) != 0 {
			r.Moved = append(r.Moved, Move{p.Name, pin, p.Version, s.whyNot(p.Name, pin, kept)})
		}
		return
	}
	newest := s.candidates(p.Name, anyVersion)
	if len(newest) > 0 && newest[0] != p {
		r.Held = append(r.Held, Move{p.Name, newest[0].Version, p.Version, s.whyNot(p.Name, newest[0].Version, kept)})
	}
}

// whyNot finds a reason for a version that was not taken.
func (s *search) whyNot(name, want string, kept []*node) string {
	at := slices.IndexFunc(s.pool.versions(name), func(p *index.Package) bool { return version.Compare(p.Version, want) == 0 })
	if at < 0 {
		return "it is no longer in " + s.pool.suitesText()
	}
	for _, r := range s.limits[name] {
		if !r.Matches(want) {
			return "the definition wants " + r.String()
		}
	}
	for _, n := range kept {
		for _, d := range s.demandsOf(n) {
			for _, r := range d.group {
				if r.Name == name && len(d.group) == 1 && !r.Matches(want) {
					return fmt.Sprintf("%s %s has %q", n.pkg.Name, n.pkg.Version, d.field+": "+r.String())
				}
			}
		}
	}
	return "it does not go with the versions that are fixed"
}

// reasons finds the way from the definition to every package, breadth first.
func (s *search) reasons(in set) map[string]Reason {
	found := map[string]Reason{}
	var queue []*node
	visit := func(d *demand) {
		n := s.pick(d, in, nil)
		if n == nil {
			return
		}
		if _, ok := found[n.pkg.Name]; ok {
			return
		}
		r := Reason{Field: d.field, Relation: d.group.String()}
		if d.parent != nil {
			r.Parent = d.parent.pkg.Name
		}
		found[n.pkg.Name] = r
		queue = append(queue, n)
	}
	for _, d := range s.wanted {
		visit(d)
	}
	for i := 0; i < len(queue); i++ {
		for _, d := range s.demandsOf(queue[i]) {
			visit(d)
		}
	}
	return found
}

// byPreference orders providers of one name: what the archive calls more
// important first, then by name.
func byPreference(a, b *index.Package) int {
	return cmp.Or(cmp.Compare(priority(a), priority(b)), strings.Compare(a.Name, b.Name))
}

func priority(p *index.Package) int {
	i := slices.Index([]string{"required", "important", "standard", "optional"}, p.Priority)
	if i < 0 {
		return 4
	}
	return i
}
