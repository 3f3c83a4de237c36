package closure

import (
	"errors"
	"slices"
	"strings"
)

// checkPlace looks at a node's place and mode: parents, owner, set-id bits and
// the merged /usr.
func (c *checker) checkPlace(n *Node) {
	if n.Path == "/" {
		return
	}
	if dir := parent(n.Path); dir != "/" {
		switch p, ok := c.tree.Lookup(dir); {
		case !ok:
			c.report(Parent, n, dir, "the directory %s is not in the tree: add it", dir)
		case p.Kind != Dir:
			c.report(Parent, n, dir, "%s (%s) is no directory: choose the path behind the link, or drop one of the two", dir, p.Owner)
		}
	}
	if n.Owner == "" {
		c.report(Owner, n, "", "no package or generator owns it: name the one that made it")
	}
	if n.Kind == File && n.Mode&0o6000 != 0 && !slices.ContainsFunc(c.opts.AllowSetID, func(p string) bool { return match(p, n.Path) }) {
		c.report(SetID, n, "", "mode %04o would run it with its owner's or group's rights: take the bits away, drop the file with a slice, or allow it", n.Mode)
	}
	if c.opts.MergedUsr && isMerged(n.Path) && (n.Kind != Symlink || strings.TrimPrefix(n.Target, "/") != "usr"+n.Path) {
		c.report(MergedUsr, n, "usr"+n.Path, "it is no link to usr%s: move its files below /usr", n.Path)
	}
}

// isMerged reports whether a merged /usr replaces a path with a link: /bin,
// /sbin, /lib and /lib32, /lib64, /libo32, /libx32.
func isMerged(p string) bool {
	switch p {
	case "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libo32", "/libx32":
		return true
	}
	return false
}

// checkLink follows a link to its end.
func (c *checker) checkLink(n *Node) {
	if n.Kind != Symlink {
		return
	}
	_, err := Resolve(c.tree, n.Path)
	var end *ResolveError
	if !errors.As(err, &end) || c.exempt(end.Path) {
		return
	}
	if n.Target == "" {
		c.report(Link, n, "", "it is a link without a target: drop it with a slice")
		return
	}
	c.report(Link, n, n.Target, "it links to %s, but %s: add what ships that, drop the link with a slice, or exempt the place", n.Target, end)
}

// exempt reports whether a place is filled only when the image runs.
func (c *checker) exempt(p string) bool {
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run"} {
		if below(p, dir) {
			return true
		}
	}
	return slices.ContainsFunc(c.opts.Exempt, func(e Exemption) bool { return below(p, e.Path) })
}
