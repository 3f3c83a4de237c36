// Package closuretest shows a directory as a [closure.Tree], so that real tools
// and the checks can be set on the same files. It is imported by tests only.
package closuretest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"distroless/internal/rootfs/closure"
	"distroless/internal/rootfs/elf"
)

// Disk is the tree of a directory, read as it is asked for. Every node is owned
// by "disk".
type Disk struct {
	t     testing.TB
	root  string
	known map[string]*closure.Node
}

var _ closure.Tree = (*Disk)(nil)

// NewDisk shows a directory; "" is the machine's own root.
func NewDisk(t testing.TB, root string) *Disk {
	return &Disk{t: t, root: root, known: map[string]*closure.Node{}}
}

// Lookup implements [closure.Tree].
func (d *Disk) Lookup(p string) (closure.Node, bool) {
	n, ok := d.known[p]
	if !ok {
		n = d.node(p)
		d.known[p] = n
	}
	if n == nil {
		return closure.Node{}, false
	}
	return *n, true
}

// Walk implements [closure.Tree].
func (d *Disk) Walk(f func(closure.Node) error) error {
	var paths []string
	err := filepath.WalkDir(d.root+"/", func(p string, _ fs.DirEntry, err error) error {
		paths = append(paths, strings.TrimPrefix(p, d.root))
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(paths)
	for _, p := range paths[1:] {
		if n, ok := d.Lookup(p); ok {
			if err := f(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// Read returns the bytes of a file; links on the way are the caller's to
// follow.
func (d *Disk) Read(p string) ([]byte, error) { return os.ReadFile(d.root + p) }

// node is nil where there is nothing that an image could hold.
func (d *Disk) node(name string) *closure.Node {
	p := d.root + name
	var st syscall.Stat_t
	if err := syscall.Lstat(p, &st); err != nil {
		return nil
	}
	n := &closure.Node{Path: name, Mode: st.Mode & 0o7777, Owner: "disk"}
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		n.Kind = closure.Dir
	case syscall.S_IFLNK:
		target, err := os.Readlink(p)
		if err != nil {
			d.t.Fatal(err)
		}
		n.Kind, n.Target = closure.Symlink, target
	case syscall.S_IFREG:
		n.Kind = closure.File
		f, err := os.Open(p)
		if err != nil {
			d.t.Fatal(err)
		}
		defer f.Close()
		if n.ELF, err = elf.Inspect(f, st.Size); err != nil {
			d.t.Fatal(err)
		}
		head := make([]byte, 256)
		k, _ := f.ReadAt(head, 0)
		if rest, ok := bytes.CutPrefix(head[:k], []byte("#!")); ok && n.Mode&0o111 != 0 {
			line, _, _ := bytes.Cut(rest, []byte("\n"))
			n.Interp = string(bytes.TrimSpace(line))
		}
	default:
		return nil
	}
	return n
}
