package rootfs

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"distroless/internal/rootfs/scripts"
)

// carryOut does to the tree what a command of a maintainer script would have
// done, as the programs of GNU's coreutils do it; by is who is said to have
// made what it makes. What would have ended in an error there changes nothing
// here: scripts guard against it, or dpkg would have refused the package.
func (a *assembler) carryOut(by, name string, args []string) error {
	c, err := scripts.ParseFileCommand(name, args)
	if err != nil {
		return err
	}
	for _, o := range c.Operands {
		if base := path.Base(o); strings.HasPrefix(base, ".*") || strings.HasPrefix(base, ".?") {
			return fmt.Errorf("%s: a pattern for . and .. too", o)
		}
	}
	if !a.tidy(c) {
		return nil
	}
	switch name {
	case "mkdir":
		return a.mkdir(by, c)
	case "ln":
		return a.ln(by, c)
	case "touch":
		return a.touch(by, c)
	case "rm":
		return a.rm(c)
	case "rmdir":
		return a.rmdir(c)
	case "chmod":
		return a.chmod(c)
	case "chown", "chgrp":
		return a.chown(c)
	case "cp":
		return a.cp(by, c)
	case "mv":
		return a.mv(by, c)
	}
	return a.install(by, c)
}

// tidy cleans the paths of a command. Those with a slash at their end name
// folders, and not the links that lead there; it reports false where they name
// something else, since the command would have ended in an error.
func (a *assembler) tidy(c scripts.FileCommand) bool {
	changes := c.Name == "rm" || c.Name == "rmdir" || c.Name == "mv"
	for i, o := range c.Operands {
		if !path.IsAbs(o) || c.Name == "ln" && (i < len(c.Operands)-1 || c.Has("target-directory")) {
			continue
		}
		p := path.Clean(o)
		if strings.HasSuffix(o, "/") && p != "/" && c.Name != "mkdir" && !(c.Name == "install" && c.Has("directory")) {
			e, link := a.tree.Resolve(p), a.tree.Lookup(a.real(p))
			if from := a.tree.Resolve(c.Operands[0]); i > 0 && link == nil && from != nil && from.Kind == Dir && (c.Name == "mv" || c.Name == "cp") {
				c.Operands[i] = p // a folder gets a new name
				continue
			}
			if e == nil || e.Kind != Dir || changes && link.Kind == Symlink && i == 0 {
				return false
			}
		}
		c.Operands[i] = p
	}
	return true
}

// real is the path that p leads to once the links in its directory are
// followed, so that an effect lands where the script's would have.
func (a *assembler) real(p string) string {
	p = path.Clean(p)
	if a.in.MergedUsr {
		p = underUsr(p)
	}
	if dir := a.tree.Resolve(path.Dir(p)); dir != nil && dir.Kind == Dir {
		return path.Join(dir.Path, path.Base(p))
	}
	return p
}

// glob expands patterns of paths on the tree as a shell does: no pattern
// matches a name that begins with a dot unless it does too. A pattern that
// matches nothing means nothing.
func (a *assembler) glob(paths []string) []string {
	var out []string
	for _, p := range paths {
		if !strings.ContainsAny(p, "*?[") {
			out = append(out, p)
			continue
		}
		for _, have := range a.tree.Paths() {
			if Match(p, have) && !hidden(p, have) {
				out = append(out, have)
			}
		}
	}
	return out
}

// hidden reports whether a name in p begins with a dot where the pattern's does
// not; both have as many names.
func hidden(glob, p string) bool {
	names := strings.Split(p, "/")
	for i, g := range strings.Split(path.Clean(glob), "/") {
		if i < len(names) && strings.HasPrefix(names[i], ".") && !strings.HasPrefix(g, ".") {
			return true
		}
	}
	return false
}

// remove takes one path out of the level and the tree. Hard links to it stay
// what they are: the first becomes the file, the others lead to that.
func (a *assembler) remove(p string) {
	gone := a.tree.entries[p]
	delete(a.tree.entries, p)
	delete(a.level.entries, p)
	if gone == nil || gone.Kind != File {
		return
	}
	first := ""
	for _, have := range slices.Sorted(maps.Keys(a.level.entries)) {
		e := a.level.entries[have]
		if e.Kind != Hardlink || e.Target != p {
			continue
		}
		c := *e
		if first == "" {
			first = have
			c.become(gone)
		} else {
			c.Target = first
		}
		a.level.entries[have], a.tree.entries[have] = &c, &c
	}
}

// make adds what a script makes. Folders above it that are missing are made
// too, unlike the commands do it: a slice may have dropped them, or the script
// of another package, which dpkg would have run before, makes them later here.
// In a folder with the set-group-ID bit, as the kernel has it, what is new has
// the folder's group, and new folders have the bit too: inode(7).
func (a *assembler) make(e *Entry) error {
	var fault error
	parents(e.Path, func(d string) {
		if fault == nil && a.tree.entries[d] == nil {
			fault = a.make(&Entry{Path: d, Kind: Dir, Mode: 0o755, Owner: e.Owner})
		}
	})
	if fault != nil {
		return fault
	}
	a.inherit(e)
	return a.putGenerated(e)
}

func (a *assembler) inherit(e *Entry) {
	dir := a.tree.entries[path.Dir(e.Path)]
	if dir == nil || dir.Mode&0o2000 == 0 {
		return
	}
	e.GID = dir.GID
	if e.Kind == Dir {
		e.Mode |= 0o2000
	}
}

// makeFile is make for a file with a text.
func (a *assembler) makeFile(by, p string, mode uint32, text []byte) error {
	digest := hexSHA256(text)
	a.level.Bytes[digest] = text
	return a.make(&Entry{Path: p, Kind: File, Mode: mode, Size: int64(len(text)), Digest: digest, Owner: by})
}

// ours is an error for what belongs to a level below: it cannot be taken out of
// its layer, nor changed in it.
func (a *assembler) ours(p string) error {
	if a.level.entries[p] == nil {
		return fmt.Errorf("%s belongs to a level below", p)
	}
	return nil
}

// children lists what lies in a directory, at any depth, sorted.
func (a *assembler) children(dir string) []string {
	return slices.DeleteFunc(a.tree.Paths(), func(p string) bool { return p == dir || !below(p, dir) })
}

func (a *assembler) mkdir(by string, c scripts.FileCommand) error {
	mode := uint32(0o755)
	if text, given := c.Options["mode"]; given {
		n, err := strconv.ParseUint(text, 8, 12)
		if err != nil {
			return fmt.Errorf("mode %q: expected octal", text)
		}
		mode = uint32(n)
	}
	for _, d := range c.Operands {
		if a.tree.Lookup(a.real(d)) != nil || a.tree.Resolve(d) != nil {
			continue
		}
		e := &Entry{Path: a.real(d), Kind: Dir, Mode: mode, Owner: by}
		if err := a.make(e); err != nil {
			return err
		}
		if len(c.Options["mode"]) > 4 {
			e.Mode = mode // five digits take inherited bits away
		}
	}
	return nil
}

func (a *assembler) ln(by string, c scripts.FileCommand) error {
	if !c.Has("symbolic") {
		return fmt.Errorf("a hard link")
	}
	if len(c.Operands) == 1 && !c.Has("target-directory") {
		return fmt.Errorf("expected a target and a link")
	}
	pairs, err := a.pairs(c)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if old := a.tree.entries[p.to]; old != nil {
			if to := a.tree.Resolve(p.from); old.Kind == Dir || !c.Has("force") || path.IsAbs(p.from) && to != nil && to.Path == p.to {
				continue // never in the place of a folder, nor of what it leads to
			}
			if err := a.ours(p.to); err != nil {
				return err
			}
			a.remove(p.to)
		}
		if err := a.make(&Entry{Path: p.to, Kind: Symlink, Mode: 0o777, Target: p.from, Owner: by}); err != nil {
			return err
		}
	}
	return nil
}

func (a *assembler) touch(by string, c scripts.FileCommand) error {
	if c.Has("no-create") {
		return nil
	}
	for _, f := range c.Operands {
		if a.tree.Resolve(f) != nil {
			continue // times come from packages
		}
		if err := a.makeFile(by, a.beyond(f), 0o644, nil); err != nil {
			return err
		}
	}
	return nil
}

// beyond is the path that a new file at p has, once every link on the way is
// followed, the last one too.
func (a *assembler) beyond(p string) string {
	at := a.real(p)
	for range maxLinks {
		e := a.tree.entries[at]
		if e == nil || e.Kind != Symlink {
			break
		}
		at = a.real(resolveLink(at, e.Target))
	}
	return at
}

func (a *assembler) rm(c scripts.FileCommand) error {
	for _, p := range a.glob(c.Operands) {
		at := a.real(p)
		e := a.tree.entries[at]
		if e == nil {
			continue
		}
		gone := []string{at}
		if e.Kind == Dir {
			inside := a.children(at)
			if !c.Has("recursive") && (!c.Has("dir") || len(inside) > 0) {
				continue
			}
			gone = append(inside, at)
		}
		for _, have := range gone {
			if err := a.ours(have); err != nil {
				return err
			}
		}
		for _, have := range gone {
			a.remove(have)
		}
	}
	return nil
}

func (a *assembler) rmdir(c scripts.FileCommand) error {
	for _, p := range a.glob(c.Operands) {
		for at := a.real(p); at != "/"; at = path.Dir(at) {
			e := a.tree.entries[at]
			if e == nil || e.Kind != Dir || len(a.children(at)) > 0 {
				break
			}
			if err := a.ours(at); err != nil {
				return err
			}
			a.remove(at)
			if !c.Has("parents") {
				break
			}
		}
	}
	return nil
}

// effectWrite puts text into a file, or at its end.
func (a *assembler) effectWrite(by, kind string, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("expected a path and a text")
	}
	text, mode := []byte(args[1]), uint32(0o644)
	if old := a.tree.Resolve(args[0]); old != nil {
		if old.Kind != File {
			return fmt.Errorf("%s is not a file", args[0])
		}
		mode = old.Mode
		if kind == "append" {
			was, err := a.text(old.Path)
			if err != nil {
				return err
			}
			text = append(slices.Clone(was), text...)
		}
		if err := a.ours(old.Path); err != nil {
			return err
		}
		a.remove(old.Path)
		return a.makeFile(by, old.Path, mode, text)
	}
	return a.makeFile(by, a.beyond(args[0]), mode, text)
}
