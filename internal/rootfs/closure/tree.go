// Package closure checks that the programs of a finished file tree can run in
// it: that every library, symbol version, loader and script interpreter that a
// file asks for is there, that no link leads to nothing, and that nothing has
// crept in that an image must not hold.
//
// It reads facts that were noted when the packages were unpacked and opens no
// file itself. It does not know what programs load by name while they run
// (dlopen, plugins, NSS): what is linked is all that can be checked.
//
// Start with [Check]; [Resolve] follows links inside a tree.
package closure

import (
	"fmt"
	"strings"

	"distroless/internal/rootfs/elf"
)

// Kind is what a node is.
type Kind uint8

// The kinds of nodes. A hard link is a File with the facts of its target.
const (
	Dir Kind = iota
	File
	Symlink
)

// Node is one path of a tree.
type Node struct {
	Path   string // clean, absolute: "/usr/bin/x"
	Kind   Kind
	Mode   uint32    // Unix permission bits with set-id and sticky: 07777
	Target string    // of a Symlink, as it is stored
	Interp string    // of an executable that begins with "#!": the rest of that line
	ELF    *elf.Info // of an ELF file; see elf.Inspect
	Owner  string    // package or generator
}

// executable reports whether a node is a file that somebody may start.
func (n *Node) executable() bool { return n.Kind == File && n.Mode&0o111 != 0 }

// Tree is a file tree. The root directory need not be in it.
type Tree interface {
	// Lookup returns the node at a clean absolute path, following no link.
	Lookup(path string) (Node, bool)
	// Walk calls f for every node, sorted by path, until f fails.
	Walk(f func(Node) error) error
}

// maxLinks bounds the links followed for one path, as Linux does. See
// path_resolution(7).
const maxLinks = 40

// ResolveError says where the way to a path ends.
type ResolveError struct {
	Path string // the place at which it ends, all links before it followed
	Fact string // what is wrong there
}

func (e *ResolveError) Error() string { return fmt.Sprintf("%s %s", e.Path, e.Fact) }

// Resolve follows every link on the way to an absolute path, as a process does
// whose root the tree is: ".." in the root stays there. The node it returns
// holds the path without links. Errors are of type [*ResolveError].
func Resolve(t Tree, path string) (Node, error) {
	rest := strings.Split(path, "/")
	at := Node{Path: "/", Kind: Dir, Mode: 0o755}
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			if at.Kind != Dir {
				return Node{}, &ResolveError{at.Path, "is not a directory"}
			}
			continue
		}
		if at.Kind != Dir {
			return Node{}, &ResolveError{at.Path, "is not a directory"}
		}
		if name == ".." {
			at = Node{Path: parent(at.Path), Kind: Dir}
			continue
		}
		next, ok := t.Lookup(join(at.Path, name))
		if !ok {
			return Node{}, &ResolveError{join(at.Path, name), "does not exist"}
		}
		if next.Kind != Symlink {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return Node{}, &ResolveError{next.Path, "leads round in a circle of links"}
		}
		if next.Target == "" {
			return Node{}, &ResolveError{next.Path, "is a link without a target"}
		}
		rest = append(strings.Split(next.Target, "/"), rest...)
		if next.Target[0] == '/' {
			at = Node{Path: "/", Kind: Dir, Mode: 0o755}
		}
	}
	return at, nil
}

// join appends a name to a clean absolute path.
func join(dir, name string) string {
	if dir == "/" {
		return "/" + name
	}
	return dir + "/" + name
}

// parent is the directory that a clean absolute path lies in; the root's is
// the root.
func parent(p string) string {
	if i := strings.LastIndexByte(p, '/'); i > 0 {
		return p[:i]
	}
	return "/"
}

// base is the last name of a path.
func base(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }

// below reports whether p is dir itself or lies below it.
func below(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}
