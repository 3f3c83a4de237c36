package structure

import (
	"archive/tar"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
)

// flatten writes the image as one tar archive, as a container sees it: what
// `docker import` takes, and what a root folder is unpacked from. Directories
// come first, then links, then files with their hard links behind them.
func (r *run) flatten(ctx context.Context, w io.Writer) error {
	tw := tar.NewWriter(w)
	files := map[source][]*node{}
	var first, second []*node
	for _, p := range slices.Sorted(maps.Keys(r.tree.nodes)) {
		n := r.tree.nodes[p]
		switch n.header.Typeflag {
		case tar.TypeDir:
			first = append(first, n)
		case tar.TypeReg:
			files[n.from] = append(files[n.from], n)
		case tar.TypeSymlink:
			second = append(second, n)
		}
	}
	for _, n := range append(first, second...) {
		if n.path == "/" {
			continue
		}
		if err := tw.WriteHeader(n.named()); err != nil {
			return err
		}
	}
	err := r.walkFiles(ctx, files, func(nodes []*node, _ *tar.Header, body io.Reader) error {
		if err := tw.WriteHeader(nodes[0].named()); err != nil {
			return err
		}
		if _, err := io.Copy(tw, body); err != nil {
			return err
		}
		for _, n := range nodes[1:] {
			h := n.named()
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, strings.TrimPrefix(nodes[0].path, "/"), 0
			if err := tw.WriteHeader(h); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return tw.Close()
}

// named is the node's header with its own path, in a format that the writer may
// choose.
func (n *node) named() *tar.Header {
	h := n.header
	h.Name = strings.TrimPrefix(n.path, "/")
	if h.Typeflag == tar.TypeDir {
		h.Name += "/"
	}
	h.Format = tar.FormatUnknown
	return &h
}
