package structure

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
	// maxEntries bounds the paths of an image, maxLinks the links followed for
	// one (path_resolution(7)), maxText the bytes of a file that is read whole.
	maxEntries = 4 << 20
	maxLinks   = 40
	maxText    = 64 << 20
)

// source says where the bytes of a file lie: in the nth entry of a layer.
type source struct{ layer, entry int }

// node is one path of the image as a container sees it.
type node struct {
	path   string // clean and absolute
	header tar.Header
	// from is where a file's bytes lie; several nodes with one source are hard
	// links to one file.
	from source
}

// tree is an image's layers laid over each other, whiteouts applied as the OCI
// image specification says.
type tree struct {
	nodes map[string]*node
}

func readTree(ctx context.Context, img Image) (*tree, error) {
	t := &tree{nodes: map[string]*node{"/": {path: "/", header: tar.Header{Typeflag: tar.TypeDir, Mode: 0o755}}}}
	for i, d := range img.Layers {
		n := 0
		fresh := map[string]bool{} // paths of this layer, which its whiteouts spare
		err := img.Walk(d, func(h *tar.Header, _ io.Reader) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			n++
			if len(t.nodes) > maxEntries {
				return fmt.Errorf("layer %s: the image has more than %d paths", d.Digest, maxEntries)
			}
			if err := t.add(h, source{i, n}, fresh); err != nil {
				return fmt.Errorf("layer %s: %w", d.Digest, err)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return t, nil
}

// add lays an entry of a layer over what is there.
func (t *tree) add(h *tar.Header, from source, fresh map[string]bool) error {
	name := path.Clean("/" + h.Name)
	if name == "/" {
		t.nodes["/"].header = *h
		return nil
	}
	dir, err := t.dir(path.Dir(name))
	if err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	base := path.Base(name)
	switch {
	case base == opaque:
		t.removeBelow(dir, fresh)
		return nil
	case strings.HasPrefix(base, whiteout):
		hidden := path.Join(dir, strings.TrimPrefix(base, whiteout))
		if !fresh[hidden] {
			t.removeBelow(hidden, fresh)
			delete(t.nodes, hidden)
		}
		return nil
	}
	n := &node{path: path.Join(dir, base), header: *h, from: from}
	if h.Typeflag == tar.TypeLink {
		to, err := t.resolve(path.Clean("/"+h.Linkname), false)
		if err != nil || to.header.Typeflag != tar.TypeReg {
			return fmt.Errorf("%s: a hard link to %s, which is no file below it", h.Name, h.Linkname)
		}
		n.header, n.from = to.header, to.from
	}
	if old := t.nodes[n.path]; old != nil && old.header.Typeflag == tar.TypeDir && h.Typeflag != tar.TypeDir {
		t.removeBelow(n.path, nil)
	}
	t.nodes[n.path] = n
	for p := n.path; p != "/" && !fresh[p]; p = path.Dir(p) {
		fresh[p] = true
	}
	return nil
}

// dir returns the real path of a directory, and makes those that a layer does
// not spell out, as runtimes do.
func (t *tree) dir(p string) (string, error) {
	if p == "/" {
		return p, nil
	}
	parent, err := t.dir(path.Dir(p))
	if err != nil {
		return "", err
	}
	p = path.Join(parent, path.Base(p))
	n := t.nodes[p]
	if n == nil {
		t.nodes[p] = &node{path: p, header: tar.Header{Typeflag: tar.TypeDir, Mode: 0o755}}
		return p, nil
	}
	if n.header.Typeflag == tar.TypeSymlink {
		if n, err = t.resolve(p, true); err != nil {
			return "", err
		}
	}
	if n.header.Typeflag != tar.TypeDir {
		return "", fmt.Errorf("%s is no directory", n.path)
	}
	return n.path, nil
}

func (t *tree) removeBelow(dir string, spare map[string]bool) {
	for _, p := range slices.Collect(maps.Keys(t.nodes)) {
		if strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/") && p != dir && p != "/" && !spare[p] {
			delete(t.nodes, p)
		}
	}
}

// resolve finds what a path leads to, following every link on the way and, if
// last is set, at its end. What is not there is an [fs.ErrNotExist].
func (t *tree) resolve(p string, last bool) (*node, error) {
	p = path.Clean("/" + p)
	for range maxLinks {
		next, n := t.step(p, last)
		if n != nil {
			return n, nil
		}
		if next == "" {
			return nil, fmt.Errorf("%s: %w", p, fs.ErrNotExist)
		}
		p = next
	}
	return nil, fmt.Errorf("%s: too many links", p)
}

// step returns the node at p, or the path to look at instead once the first
// link on the way has been followed; neither where nothing is there.
func (t *tree) step(p string, last bool) (string, *node) {
	for i := 1; i <= len(p); i++ {
		if i < len(p) && p[i] != '/' {
			continue
		}
		n := t.nodes[p[:i]]
		if n == nil && p != "/" {
			return "", nil
		}
		if n != nil && n.header.Typeflag == tar.TypeSymlink && (i < len(p) || last) {
			to := n.header.Linkname
			if !path.IsAbs(to) {
				to = path.Join(path.Dir(n.path), to)
			}
			return path.Join("/", to, p[i:]), nil
		}
	}
	return "", t.nodes[p]
}

// below lists the names directly in a directory, sorted.
func (t *tree) below(dir string) []string {
	var out []string
	for p := range t.nodes {
		if p != "/" && path.Dir(p) == dir {
			out = append(out, path.Base(p))
		}
	}
	slices.Sort(out)
	return out
}

// mode is a node's mode as Go prints it.
func (n *node) mode() fs.FileMode { return n.header.FileInfo().Mode() }
