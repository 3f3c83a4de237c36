package deb

import (
	"errors"
	"fmt"
	"strings"
)

const maxComponent = 255 // NAME_MAX of Linux's file systems

// cleanName turns a tar entry's name into a canonical absolute path:
// "./usr/bin/", "usr/bin" and "./usr/./bin" are all "/usr/bin", "./" is "/".
// Absolute names, "..", and control characters are refused.
func cleanName(name string, most int) (string, error) {
	if name == "" {
		return "", errors.New("empty name")
	}
	if len(name) > most {
		return "", fmt.Errorf("name of %d bytes: at most %d are allowed", len(name), most)
	}
	if err := checkText(name); err != nil {
		return "", err
	}
	if name[0] == '/' {
		return "", errors.New("absolute name: want one below ./")
	}
	if clean, ok := strings.CutPrefix(name, "."); ok && isClean(clean) {
		return clean, nil // "./usr/bin/x", as dpkg-deb writes: no allocation
	}
	var b strings.Builder
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			return "", errors.New(`name with "..": it could leave the root`)
		case len(part) > maxComponent:
			return "", fmt.Errorf("name with a part of %d bytes: at most %d are allowed", len(part), maxComponent)
		}
		b.WriteByte('/')
		b.WriteString(part)
	}
	if b.Len() == 0 {
		return "/", nil
	}
	return b.String(), nil
}

// isClean reports whether p is a canonical absolute path other than "/".
func isClean(p string) bool {
	if len(p) < 2 || p[0] != '/' {
		return false
	}
	for start := 1; ; {
		part := p[start:]
		i := strings.IndexByte(part, '/')
		if i >= 0 {
			part = part[:i]
		}
		if part == "" || part == "." || part == ".." || len(part) > maxComponent {
			return false
		}
		if i < 0 {
			return true
		}
		start += i + 1
	}
}

// checkText refuses control characters: no package of Debian has them in a
// name, and they would break md5sums, logs and terminals.
func checkText(s string) error {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return fmt.Errorf("control character %q in the name", s[i])
		}
	}
	return nil
}

// checkTarget refuses a symlink at path whose target climbs above the root,
// counted by its text alone: what lies behind other links is for whoever
// merges the packages.
func checkTarget(path, target string, most int) error {
	if target == "" {
		return errors.New("symlink without a target")
	}
	if len(target) > most {
		return fmt.Errorf("symlink target of %d bytes: at most %d are allowed", len(target), most)
	}
	if err := checkText(target); err != nil {
		return fmt.Errorf("symlink target: %w", err)
	}
	depth := 0
	if target[0] != '/' {
		depth = strings.Count(path, "/") - 1
	}
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return fmt.Errorf("symlink to %s, which is outside the root", printable(target))
			}
		default:
			depth++
		}
	}
	return nil
}

// tree remembers the paths of one package, to hold what a package promises:
// one entry a path, directories above everything, hard links to its own files.
type tree struct {
	nodes map[string]node
	last  string // a directory known to be fine: most entries share their parent with the one before
	left  int    // nodes that may still be added
}

type node struct {
	kind     Kind
	implied  bool // a parent that has had no entry of its own so far
	mode     uint32
	uid, gid int
	file     string // for Hardlink: the regular file it shares
}

func newTree(most int) *tree {
	return &tree{nodes: map[string]node{}, left: most}
}

// add enters h, whose path and link are clean, and points hard links at the
// regular file itself where they name another hard link.
func (t *tree) add(h *Header) error {
	if err := t.parents(h.Path); err != nil {
		return err
	}
	n := node{kind: h.Kind, mode: h.Mode, uid: h.UID, gid: h.GID}
	if h.Path == "/" && h.Kind != Dir {
		return fmt.Errorf("the root is a %s: want a directory", h.Kind)
	}
	if h.Kind == Hardlink {
		file, err := t.linked(h)
		if err != nil {
			return err
		}
		h.Link, n.file = file, file
	}
	old, ok := t.nodes[h.Path]
	switch {
	case !ok:
		return t.put(h.Path, n)
	case old.implied && h.Kind != Dir:
		return fmt.Errorf("a %s, but an earlier entry lies below it", h.Kind)
	case old.implied:
		t.nodes[h.Path] = n
		return nil
	case old.kind != h.Kind:
		return fmt.Errorf("listed twice, as a %s and as a %s", old.kind, h.Kind)
	case h.Kind != Dir:
		return fmt.Errorf("listed twice: a package has one %s a path", h.Kind)
	case old != n:
		return errors.New("directory listed twice with different modes or owners")
	}
	return nil
}

func (t *tree) put(path string, n node) error {
	if t.left--; t.left < 0 {
		return errors.New("too many paths in the package")
	}
	t.nodes[path] = n
	return nil
}

// parents checks that everything above path is a directory, and enters those
// that the package did not list.
func (t *tree) parents(path string) error {
	dir := parent(path)
	if dir == t.last || path == "/" {
		return nil
	}
	for p := dir; p != "/"; p = parent(p) {
		n, ok := t.nodes[p]
		if ok && n.kind != Dir {
			return fmt.Errorf("lies below %s, which is a %s of the same package", printable(p), n.kind)
		}
		if ok {
			break
		}
		if err := t.put(p, node{kind: Dir, implied: true}); err != nil {
			return err
		}
	}
	t.last = dir
	return nil
}

// linked finds the regular file that a hard link names.
func (t *tree) linked(h *Header) (string, error) {
	target := printable(h.Link)
	n, ok := t.nodes[h.Link]
	if !ok {
		for p := parent(h.Link); p != "/"; p = parent(p) {
			if up, ok := t.nodes[p]; ok && up.kind != Dir {
				return "", fmt.Errorf("hard link to %s through %s, which is a %s", target, printable(p), up.kind)
			}
		}
		return "", fmt.Errorf("hard link to %s, which no earlier entry of the package is", target)
	}
	switch n.kind {
	case File:
		return h.Link, nil
	case Hardlink:
		return n.file, nil
	}
	return "", fmt.Errorf("hard link to %s, which is a %s: want a regular file", target, n.kind)
}

// parent is the directory that holds the canonical path p; "/" for "/".
func parent(p string) string {
	if i := strings.LastIndexByte(p, '/'); i > 0 {
		return p[:i]
	}
	return "/"
}
