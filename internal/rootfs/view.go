package rootfs

import (
	"distroless/internal/rootfs/closure"
)

// View is a tree as the closure checks and ldconfig's work see it.
type View struct{ tree *Tree }

var _ closure.Tree = View{}

// View returns the tree for the closure checks.
func (t *Tree) View() View { return View{t} }

// Lookup implements [closure.Tree].
func (v View) Lookup(p string) (closure.Node, bool) {
	e := v.tree.entries[p]
	if e == nil {
		return closure.Node{}, false
	}
	return v.node(e), true
}

// Walk implements [closure.Tree].
func (v View) Walk(f func(closure.Node) error) error {
	for _, p := range v.tree.Paths() {
		if err := f(v.node(v.tree.entries[p])); err != nil {
			return err
		}
	}
	return nil
}

// node is an entry's facts; a hard link has those of its target.
func (v View) node(e *Entry) closure.Node {
	n := closure.Node{Path: e.Path, Kind: closure.File, Mode: e.Mode, Owner: e.Owner}
	switch e.Kind {
	case Dir:
		n.Kind = closure.Dir
	case Symlink:
		n.Kind, n.Target = closure.Symlink, e.Target
	case Hardlink:
		if t := v.tree.entries[e.Target]; t != nil {
			n.Mode, n.ELF, n.Interp = t.Mode, t.ELF, t.Interp
		}
	case File:
		n.ELF, n.Interp = e.ELF, e.Interp
	}
	return n
}
