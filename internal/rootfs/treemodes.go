package rootfs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"distroless/internal/rootfs/scripts"
)

func (a *assembler) chmod(c scripts.FileCommand) error {
	if len(c.Operands) < 2 {
		return fmt.Errorf("expected a mode and paths")
	}
	mode, err := modeChange(c.Operands[0], newMask)
	if err != nil {
		return err
	}
	set := func(e *Entry) { e.Mode = mode(e.Mode, e.Kind == Dir) }
	for _, p := range a.glob(c.Operands[1:]) {
		if err := a.change(p, c.Has("recursive"), false, set); err != nil {
			return err
		}
	}
	return nil
}

// chown carries out chown and chgrp. As the kernel does, it takes the set-id
// bits off a file whose owner is set: chown(2).
func (a *assembler) chown(c scripts.FileCommand) error {
	if len(c.Operands) < 2 {
		return fmt.Errorf("expected an owner and paths")
	}
	uid, gid, err := a.owner(c.Name, c.Operands[0])
	if err != nil {
		return err
	}
	set := func(e *Entry) {
		if uid >= 0 {
			e.UID = uid
		}
		if gid >= 0 {
			e.GID = gid
		}
		if e.Kind == File {
			e.Mode &^= 0o4000
			if e.Mode&0o010 != 0 {
				e.Mode &^= 0o2000
			}
		}
	}
	for _, p := range a.glob(c.Operands[1:]) {
		if err := a.change(p, c.Has("recursive"), c.Has("recursive", "no-dereference"), set); err != nil {
			return err
		}
	}
	return nil
}

// owner reads what chown and chgrp take: "user", "user:group", ":group",
// "user:" for the user's own group, and a group; -1 where one stays as it is.
func (a *assembler) owner(command, text string) (uid, gid int, err error) {
	uid, gid = -1, -1
	user, group, both := strings.Cut(text, ":")
	if command == "chgrp" {
		user, group = "", text
	}
	if user != "" {
		uid, err = a.uid(user)
		if u, g, dot := strings.Cut(user, "."); err != nil && dot && !both { // as it was written once
			return a.owner(command, u+":"+g)
		}
		if err != nil {
			return
		}
		if both && group == "" {
			gid, err = a.loginGroup(user)
			return
		}
	}
	if group != "" {
		gid, err = a.gid(group)
	}
	return
}

// change replaces the entry that p leads to, and with deep what lies below it,
// by changed copies; entries of packages are shared. With links it changes
// symbolic links themselves, else what p leads to; chmod -R passes links by.
func (a *assembler) change(p string, deep, links bool, f func(*Entry)) error {
	e := a.tree.Resolve(p)
	if links {
		e = a.file(a.tree.Lookup(a.real(p)))
	}
	if e == nil {
		return nil
	}
	list := []string{e.Path}
	if deep && e.Kind == Dir {
		list = append(list, a.children(e.Path)...)
	}
	for _, at := range list {
		e := a.file(a.tree.entries[at])
		if e.Kind == Symlink && !links {
			continue
		}
		c := *e
		f(&c)
		if c.Mode == e.Mode && c.UID == e.UID && c.GID == e.GID {
			continue
		}
		if c.Kind != Dir {
			if err := a.ours(c.Path); err != nil {
				return err
			}
		}
		if err := a.put(&c); err != nil {
			return err
		}
	}
	return nil
}

// file is the file that a hard link names, or the entry itself.
func (a *assembler) file(e *Entry) *Entry {
	if e != nil && e.Kind == Hardlink {
		return a.tree.entries[e.Target]
	}
	return e
}

func (a *assembler) uid(name string) (int, error) {
	if n, err := strconv.Atoi(name); err == nil {
		return n, nil
	}
	for _, u := range append(slices.Clone(a.tree.users), a.in.Users...) {
		if u.Name == name {
			return u.UID, nil
		}
	}
	return 0, fmt.Errorf("no user %s in the image: add it under accounts", name)
}

// loginGroup is the group of a user in /etc/passwd.
func (a *assembler) loginGroup(user string) (int, error) {
	for _, u := range append(slices.Clone(a.tree.users), a.in.Users...) {
		if u.Name == user || strconv.Itoa(u.UID) == user {
			return u.GID, nil
		}
	}
	return 0, fmt.Errorf("no user %s in the image: add it under accounts", user)
}

func (a *assembler) gid(name string) (int, error) {
	if n, err := strconv.Atoi(name); err == nil {
		return n, nil
	}
	for _, g := range append(slices.Clone(a.tree.groups), a.in.Groups...) {
		if g.Name == name {
			return g.GID, nil
		}
	}
	return 0, fmt.Errorf("no group %s in the image: add it under accounts", name)
}

// newMask is the umask that maintainer scripts run with: Debian policy, 10.9.
const newMask = 0o022

// setID are the bits that a directory keeps unless a mode names them: GNU's
// coreutils, "Directories and the Set-User-ID and Set-Group-ID Bits".
const setID = 0o6000

// modeChange reads a mode as chmod(1) takes it: octal, or clauses such as
// "u+s" and "go-w". Clauses without a class leave the bits of mask alone.
func modeChange(text string, mask uint32) (func(mode uint32, dir bool) uint32, error) {
	if n, err := strconv.ParseUint(text, 8, 12); err == nil {
		return func(mode uint32, dir bool) uint32 {
			if dir && len(text) < 5 {
				return mode&setID | uint32(n)
			}
			return uint32(n)
		}, nil
	}
	var steps []func(uint32, bool) uint32
	for clause := range strings.SplitSeq(text, ",") {
		at := strings.IndexAny(clause, "+-=")
		if at < 0 {
			return nil, fmt.Errorf("mode %q: expected octal or clauses such as u+x", text)
		}
		who, op, what := clause[:at], clause[at], clause[at+1:]
		if strings.Trim(who, "ugoa") != "" || strings.Trim(what, "rwxXst") != "" {
			return nil, fmt.Errorf("mode %q: expected octal or clauses such as u+x", text)
		}
		steps = append(steps, func(mode uint32, dir bool) uint32 { return clauseMode(who, op, what, mask, mode, dir) })
	}
	return func(mode uint32, dir bool) uint32 {
		for _, s := range steps {
			mode = s(mode, dir)
		}
		return mode
	}, nil
}

// clauseMode is a mode after one clause. Without a class, the clause speaks of
// all that the umask lets through.
func clauseMode(who string, op byte, what string, mask, mode uint32, dir bool) uint32 {
	var classes uint32
	for _, class := range who {
		classes |= map[rune]uint32{'u': 0o4700, 'g': 0o2070, 'o': 0o1007, 'a': 0o7777}[class]
	}
	var bits uint32
	for _, w := range what {
		if w == 'X' && !dir && mode&0o111 == 0 {
			continue
		}
		bits |= map[rune]uint32{'r': 0o444, 'w': 0o222, 'x': 0o111, 'X': 0o111, 's': setID, 't': 0o1000}[w]
	}
	named, allowed, cleared := bits, 0o7777&^mask, uint32(0o7777)
	if classes != 0 {
		named, allowed, cleared = bits&classes, classes, classes
	}
	bits &= allowed
	if dir {
		untold := setID &^ named
		bits &^= untold
		cleared &^= untold
	}
	switch op {
	case '+':
		return mode | bits
	case '-':
		return mode &^ bits
	}
	return mode&^cleared | bits
}
