package resolve

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"distroless/internal/debian/index"
	"distroless/internal/debian/relation"
)

// Chain is one way from what a definition wants to a package.
type Chain []Step

// Step is a package of a chain and the relation that leads to it, of the
// package before it. The first step's Field is "": the definition has it.
type Step struct {
	Package  *index.Package
	Field    string // "Depends" or "Pre-Depends"
	Relation string
}

// String writes "a -> b (Depends: b (>= 1)) -> c (...)".
func (c Chain) String() string {
	var b strings.Builder
	for i, s := range c {
		if i > 0 {
			b.WriteString(" -> ")
		}
		b.WriteString(s.Package.Name)
		if s.Field != "" {
			b.WriteString(" (" + s.Field + ": " + s.Relation + ")")
		}
	}
	return b.String()
}

// Why explains what the package called name is there for. packages is all of
// an image, levels below included, with their relations; wanted is what the
// definitions of all its levels want. For each relation in the image that the
// package meets there is one chain, the shortest that ends in it; the shortest
// come first. A package that nothing asks for has none. It is an error if
// there is no such package; where others provide the name they are told.
func Why(arch string, wanted []relation.Group, packages []*index.Package, name string) ([]Chain, error) {
	s, err := newSearch(Request{Arch: arch, Available: packages})
	if err != nil {
		return nil, err
	}
	if len(s.pool.versions(name)) == 0 {
		if by := s.pool.providersOf(name); len(by) > 0 {
			return nil, fmt.Errorf("explain %s: it is provided by %s: ask for that", name, strings.Join(by, ", "))
		}
		return nil, fmt.Errorf("explain %s: it is not in the image", name)
	}
	e := explorer{search: s, reached: map[string]Chain{}}
	for _, g := range wanted {
		if g = g.ForArch(arch); len(g) > 0 {
			e.follow(nil, "", g, name)
		}
	}
	for i := 0; i < len(e.queue); i++ {
		from := e.reached[e.queue[i]]
		for _, f := range s.factsOf(from[len(from)-1].Package).depends {
			e.follow(from, f.name, f.group, name)
		}
	}
	slices.SortStableFunc(e.found, func(a, b Chain) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a.String(), b.String()))
	})
	return e.found, s.broken
}

// explorer walks the relations of an image breadth first.
type explorer struct {
	search  *search
	reached map[string]Chain // the first, so the shortest, way to a package
	queue   []string
	found   []Chain
}

// follow goes along one relation to every package that meets it.
func (e *explorer) follow(from Chain, field string, g relation.Group, target string) {
	for _, p := range e.search.answersTo(g, from == nil).options {
		if len(from) > 0 && p == from[len(from)-1].Package {
			continue
		}
		way := append(slices.Clone(from), Step{p, field, g.String()})
		if p.Name == target {
			e.found = append(e.found, way)
		}
		if _, ok := e.reached[p.Name]; !ok {
			e.reached[p.Name] = way
			e.queue = append(e.queue, p.Name)
		}
	}
}
