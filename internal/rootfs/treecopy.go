package rootfs

import (
	"fmt"
	"path"
	"strings"

	"distroless/internal/rootfs/scripts"
)

// pair is a source as a command names it, and the path at which it is to be.
type pair struct {
	from, to string
}

// pairs says where ln, cp, mv and install put each of their sources: into the
// folder that the last operand or --target-directory leads to, else at the
// last operand.
func (a *assembler) pairs(c scripts.FileCommand) ([]pair, error) {
	from := c.Operands
	dir, into := c.Options["target-directory"]
	if e := a.tree.Resolve(path.Clean(dir)); into && (e == nil || e.Kind != Dir) {
		return nil, nil
	}
	if !into {
		if len(from) < 2 {
			return nil, fmt.Errorf("expected a file and where it goes")
		}
		dir, from = from[len(from)-1], from[:len(from)-1]
		e := a.tree.Resolve(dir)
		link := a.tree.Lookup(a.real(dir))
		asIs := c.Has("no-target-directory") || c.Name == "ln" && c.Has("no-dereference") && link != nil && link.Kind == Symlink
		into = e != nil && e.Kind == Dir && !asIs
		if !into && len(from) > 1 {
			return nil, nil
		}
	}
	var out []pair
	for _, f := range from {
		to := a.real(dir)
		if into {
			to = a.real(path.Join(dir, path.Base(f)))
		}
		out = append(out, pair{f, to})
	}
	return out, nil
}

// cp copies files, with -r folders too.
func (a *assembler) cp(by string, c scripts.FileCommand) error {
	preserve, err := preserves(c)
	if err != nil {
		return err
	}
	whole := c.Has("recursive", "archive")
	asLinks := c.Has("no-dereference", "d", "archive")
	if whole && c.Has("dereference") {
		return fmt.Errorf("folders with their links followed")
	}
	asLinks = asLinks || whole
	c.Operands = a.glob(c.Operands)
	pairs, err := a.pairs(c)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		from := a.tree.Resolve(p.from)
		if asLinks {
			from = a.file(a.tree.Lookup(a.real(p.from)))
		}
		if from == nil || from.Kind == Dir && !whole || c.Has("no-clobber") && a.tree.Resolve(p.to) != nil {
			continue
		}
		list := []string{from.Path}
		if from.Kind == Dir {
			if below(p.to, from.Path) {
				return fmt.Errorf("a folder into itself")
			}
			list = append(list, a.children(from.Path)...)
		}
		for _, at := range list {
			to := p.to + strings.TrimPrefix(at, from.Path)
			if err := a.copyEntry(by, a.file(a.tree.entries[at]), to, preserve, c.Has("d", "archive")); err != nil {
				return err
			}
		}
	}
	return nil
}

// preserves reports whether copies keep mode, owner and time.
func preserves(c scripts.FileCommand) (bool, error) {
	if list, ok := c.Options["preserve"]; ok && list != "" && list != "all" {
		for _, what := range []string{"mode", "ownership"} {
			if !strings.Contains(list, what) {
				return false, fmt.Errorf("--preserve=%s: expected mode and ownership, or nothing", list)
			}
		}
	}
	return c.Has("archive", "p", "preserve"), nil
}

// copyEntry makes a copy of an entry at another path. A file that is there gets
// new contents; its mode and owner stay, unless those of the source are kept.
// With links, other names of a file that is there keep its old contents.
func (a *assembler) copyEntry(by string, from *Entry, to string, preserve, links bool) error {
	n := *from
	n.Path, n.Owner, n.Group = to, by, ""
	if !preserve {
		n.UID, n.GID, n.MTime, n.Xattrs = 0, 0, 0, nil
		if n.Kind != Symlink {
			n.Mode = n.Mode & 0o777 &^ 0o022
		}
	}
	if n.Kind == File {
		if n.Path = a.beyond(to); n.Path != to && a.tree.entries[n.Path] == nil {
			return nil // cp does not write through a link that leads nowhere
		}
	} else if end := a.tree.Resolve(to); n.Kind == Symlink && end != nil && end == a.tree.Resolve(from.Path) {
		return nil // the same file, by another name
	}
	old := a.file(a.tree.entries[n.Path])
	switch {
	case old == nil:
	case old.Kind == Dir && n.Kind == Dir:
		if !preserve {
			return nil
		}
	case old.Kind == Dir || n.Kind == Dir:
		return nil // cp does not put one in the place of the other
	case old == from:
		return nil
	default:
		if err := a.ours(old.Path); err != nil {
			return err
		}
		if preserve && old.Mode&setID != 0 {
			return fmt.Errorf("%s: in the place of a set-id file", old.Path)
		}
		if n.Kind == File && old.Kind == File && !(links && a.linked(old.Path)) {
			return a.rewrite(by, &n, old, preserve)
		}
		n.Path = to
		a.remove(to)
	}
	if !preserve {
		return a.make(&n)
	}
	mode, uid, gid := n.Mode, n.UID, n.GID
	err := a.make(&n)
	if n.UID, n.GID = uid, gid; mode&0o7000 != 0 {
		n.Mode = mode
	}
	return err
}

// linked reports whether a file of the level has other names.
func (a *assembler) linked(p string) bool {
	for _, e := range a.level.entries {
		if e.Kind == Hardlink && e.Target == p {
			return true
		}
	}
	return false
}

// rewrite gives the file old the contents of n, as opening it for writing does:
// whoever has a hard link to it sees them too.
func (a *assembler) rewrite(by string, n, old *Entry, preserve bool) error {
	n.Path, n.Group = old.Path, old.Group
	if !preserve {
		n.Mode, n.UID, n.GID = old.Mode, old.UID, old.GID
	}
	delete(a.tree.entries, old.Path)
	delete(a.level.entries, old.Path)
	return a.putGenerated(n)
}

// mv renames files and folders of the level.
func (a *assembler) mv(by string, c scripts.FileCommand) error {
	c.Operands = a.glob(c.Operands)
	pairs, err := a.pairs(c)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		from := a.tree.Lookup(a.real(p.from))
		old := a.tree.Lookup(p.to)
		if from == nil || old != nil && (c.Has("no-clobber") || a.file(from) == a.file(old)) || below(p.to, from.Path) {
			continue
		}
		if old != nil {
			if (old.Kind == Dir) != (from.Kind == Dir) || old.Kind == Dir && len(a.children(p.to)) > 0 {
				continue // rename(2) refuses
			}
			if err := a.ours(p.to); err != nil {
				return err
			}
			a.remove(p.to)
		}
		if err := a.rename(by, from.Path, p.to); err != nil {
			return err
		}
	}
	return nil
}

// rename gives an entry, and all that lies below it, another path. Nothing is
// at the new one.
func (a *assembler) rename(by, from, to string) error {
	list := append([]string{from}, a.children(from)...)
	for _, at := range list {
		if err := a.ours(at); err != nil {
			return err
		}
	}
	for _, at := range list {
		n := *a.tree.entries[at]
		n.Path, n.Owner = to+strings.TrimPrefix(at, from), by
		delete(a.tree.entries, at)
		delete(a.level.entries, at)
		for _, e := range a.level.entries {
			if e.Kind == Hardlink && e.Target == at {
				c := *e
				c.Target = n.Path
				a.level.entries[c.Path], a.tree.entries[c.Path] = &c, &c
			}
		}
		if err := a.putGenerated(&n); err != nil {
			return err
		}
	}
	return nil
}

// install copies files with a mode and owner of their own, or makes folders.
func (a *assembler) install(by string, c scripts.FileCommand) error {
	like, err := a.installed(c)
	if err != nil {
		return err
	}
	if c.Has("directory") {
		for _, d := range c.Operands {
			if err := a.installDir(by, d, like); err != nil {
				return err
			}
		}
		return nil
	}
	pairs, err := a.pairs(c)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if err := a.installFile(by, p, like); err != nil {
			return err
		}
	}
	return nil
}

// installed is a function that gives an entry the mode and owner that install
// was called with.
func (a *assembler) installed(c scripts.FileCommand) (func(*Entry), error) {
	mode, ok := c.Options["mode"]
	if !ok {
		mode = "00755"
	}
	change, err := modeChange(mode, 0)
	if err != nil {
		return nil, err
	}
	uid, gid := -1, -1
	if user, ok := c.Options["owner"]; ok {
		if uid, err = a.uid(user); err != nil {
			return nil, err
		}
	}
	if group, ok := c.Options["group"]; ok {
		if gid, err = a.gid(group); err != nil {
			return nil, err
		}
	}
	return func(e *Entry) {
		e.Mode = change(e.Mode, e.Kind == Dir)
		if uid >= 0 {
			e.UID = uid
		}
		if gid >= 0 {
			e.GID = gid
		}
	}, nil
}

func (a *assembler) installDir(by, d string, like func(*Entry)) error {
	if old := a.tree.Resolve(d); old != nil && old.Kind == Dir {
		return a.change(d, false, false, like)
	}
	if a.tree.Lookup(a.real(d)) != nil {
		return nil
	}
	e := &Entry{Path: a.real(d), Kind: Dir, Owner: by}
	if err := a.make(e); err != nil {
		return err
	}
	e.Mode &= setID
	like(e)
	return nil
}

// installFile puts a new file in the place of what is there.
func (a *assembler) installFile(by string, p pair, like func(*Entry)) error {
	from := a.tree.Resolve(p.from)
	if p.from == "/dev/null" {
		from = &Entry{Kind: File, Digest: emptyDigest}
		a.level.Bytes[emptyDigest] = nil
	}
	if from == nil || from.Kind != File {
		return nil
	}
	if old := a.tree.Lookup(p.to); old != nil {
		if same := old == from && a.tree.Lookup(a.real(p.from)).Kind != Hardlink; old.Kind == Dir || same || old.Kind != Symlink && a.real(p.from) == p.to {
			return nil
		}
		if err := a.ours(p.to); err != nil {
			return err
		}
		a.remove(p.to)
		if p.from != "/dev/null" && a.tree.Resolve(p.from) == nil {
			return nil // it led there
		}
	}
	n := *from
	n.Path, n.Owner, n.Group, n.MTime, n.Xattrs = p.to, by, "", 0, nil
	n.Mode, n.UID, n.GID = 0, 0, 0
	if err := a.make(&n); err != nil {
		return err
	}
	like(&n)
	return nil
}

// emptyDigest is the SHA-256 of no bytes.
const emptyDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
