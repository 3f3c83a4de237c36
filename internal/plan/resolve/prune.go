package resolve

import (
	"slices"

	"distroless/internal/debian/index"
)

// prune drops what was chosen before something else arrived that does as well:
// a provider chosen early, say, where another one was needed later anyway. A
// package goes if every relation that it was the pick for is met by others
// that would be there without it. Earlier choices, made knowing less, go first.
func (s *search) prune(nodes []*node) []*node {
	for i := 0; i < len(nodes); {
		set := setOf(nodes)
		for replaceable := s.replaceable(nodes, set); i < len(nodes); i++ {
			if !replaceable[nodes[i]] {
				continue
			}
			if left := s.without(nodes, set, nodes[i]); left != nil {
				nodes, i = left, 0
				break
			}
		}
	}
	return nodes
}

// set is packages that are chosen.
type set map[*index.Package]*node

func setOf(nodes []*node) set {
	s := make(set, len(nodes))
	for _, n := range nodes {
		s[n.pkg] = n
	}
	return s
}

// replaceable finds the nodes that are the pick for some relation that another
// node meets as well. No other can go.
func (s *search) replaceable(nodes []*node, in set) map[*node]bool {
	found := map[*node]bool{}
	note := func(d *demand) {
		if n := s.pick(d, in, nil); n != nil && s.pick(d, in, n) != nil {
			found[n] = true
		}
	}
	for _, d := range s.wanted {
		note(d)
	}
	for _, n := range nodes {
		for _, d := range s.demandsOf(n) {
			note(d)
		}
	}
	return found
}

// without returns what is left of nodes when n goes, in the same order, or nil
// if it cannot go.
func (s *search) without(nodes []*node, in set, n *node) []*node {
	var (
		there    = set{}
		queue    []*node
		replaced []*demand // relations that n was the pick for
		stays    bool
	)
	visit := func(d *demand) {
		switch pick := s.pick(d, in, nil); {
		case pick == nil:
		case pick == n:
			replaced = append(replaced, d)
			stays = stays || s.pick(d, in, n) == nil
		case there[pick.pkg] == nil:
			there[pick.pkg] = pick
			queue = append(queue, pick)
		}
	}
	for _, d := range s.wanted {
		visit(d)
	}
	for i := 0; i < len(queue) && !stays; i++ {
		for _, d := range s.demandsOf(queue[i]) {
			visit(d)
		}
	}
	for _, d := range replaced {
		stays = stays || s.pick(d, there, nil) == nil
	}
	if stays {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(m *node) bool { return there[m.pkg] == nil })
}

// pick is the package that is there for d, the preferred one if several meet
// it, but never the one given. It is nil if a level below meets d, or if
// nothing does. What may be waived is no reason for a package to be there.
func (s *search) pick(d *demand, in set, but *node) *node {
	if d.omit != nil {
		return nil
	}
	return d.metBy(in, but)
}

// metBy is the preferred package of the set, but never the one given, that
// meets d. It is nil if a level below meets d, or if nothing does.
func (d *demand) metBy(in set, but *node) *node {
	if d.below != nil {
		return nil
	}
	for _, p := range d.options {
		if n := in[p]; n != nil && n != but {
			return n
		}
	}
	return nil
}
