package rootfs

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"distroless/internal/rootfs/ldcache"
)

// Tree is a merged file tree: one entry per path, every parent present.
type Tree struct {
	entries map[string]*Entry
	// Accounts, and the texts that later levels build on.
	users  []User
	groups []Group
	// packages of all levels by name, for licences and replaced files.
	packages map[string]*sliced
	trust    authorities // as last written
	newest   int64       // time of the newest package file, in seconds
	// alternatives that update-alternatives would have chosen so far, by name.
	alternatives map[string]chosen
	loader       *ldcache.Cache // what /etc/ld.so.cache holds; nil without a C library
}

// NewTree returns a tree that holds nothing but the root directory.
func NewTree() *Tree {
	return &Tree{
		entries:  map[string]*Entry{"/": {Path: "/", Kind: Dir, Mode: 0o755, Owner: "root", Generated: true}},
		packages: map[string]*sliced{}, alternatives: map[string]chosen{},
	}
}

// clone is a copy that can be added to without changing t. The entries
// themselves are shared and never changed once they are in a tree.
func (t *Tree) clone() *Tree {
	return &Tree{
		entries: maps.Clone(t.entries), users: slices.Clone(t.users), groups: slices.Clone(t.groups),
		packages: maps.Clone(t.packages), trust: t.trust, newest: t.newest,
		alternatives: maps.Clone(t.alternatives), loader: t.loader,
	}
}

// Lookup returns the entry at a path, without following links; nil if there is
// none.
func (t *Tree) Lookup(p string) *Entry { return t.entries[p] }

// Paths lists every path, sorted.
func (t *Tree) Paths() []string { return slices.Sorted(maps.Keys(t.entries)) }

// Len is the number of entries.
func (t *Tree) Len() int { return len(t.entries) }

// maxLinks bounds the links followed for one path, as Linux does (path_resolution(7)).
const maxLinks = 40

// Resolve follows every link on the way to p and returns the entry it ends at,
// nil if there is none.
func (t *Tree) Resolve(p string) *Entry {
	for range maxLinks {
		e, next := t.step(p)
		if next == "" {
			return e
		}
		p = next
	}
	return nil
}

// step returns the entry at p, or the path to look at instead once the first
// link on the way has been followed.
func (t *Tree) step(p string) (e *Entry, next string) {
	var link *Entry
	parents(p, func(d string) {
		if l := t.entries[d]; link == nil && l != nil && l.Kind == Symlink {
			link = l
		}
	})
	if link != nil {
		return nil, path.Join(resolveLink(link.Path, link.Target), p[len(link.Path):])
	}
	e = t.entries[p]
	if e == nil {
		return nil, ""
	}
	switch e.Kind {
	case Symlink:
		return nil, resolveLink(p, e.Target)
	case Hardlink:
		return nil, e.Target
	}
	return e, ""
}

// ConflictError says that two packages ship the same path with different
// content and neither replaces the other.
type ConflictError struct {
	Path, First, Second string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("merge packages: %s is in both %s and %s: drop it from one with a slice, or leave one of them out", e.Path, e.First, e.Second)
}

// implied reports whether a directory is there only because something lies in
// it, so that whoever knows its mode may say it.
func (e *Entry) implied() bool { return e.Generated && (e.Owner == "directories" || e.Path == "/") }

// namesItself reports whether a link leads to its own path, as the links for
// old and new names do once merged-usr has mapped them: /bin/x -> /usr/bin/x.
func (e *Entry) namesItself(merged bool) bool {
	if e.Kind != Symlink {
		return false
	}
	to := resolveLink(e.Path, e.Target)
	return to == e.Path || merged && underUsr(to) == e.Path
}

// same reports whether two entries are the same for dpkg's purposes: as
// packages of several architectures may share a file.
func same(a, b *Entry) bool {
	return a.Kind == b.Kind && a.Digest == b.Digest && a.Target == b.Target
}

// LoaderPaths are the paths of the libraries that ld.so finds by name in
// /etc/ld.so.cache; nil without a cache.
func (t *Tree) LoaderPaths() map[string][]string {
	if t.loader == nil {
		return nil
	}
	return t.loader.Paths()
}
