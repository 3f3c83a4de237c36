package upstream

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"distroless/internal/gunzip"
	"distroless/internal/hugepage"
	"distroless/internal/xz"
)

const (
	maxFile    = 2 << 30   // bytes of one file that is kept
	maxEntries = 1_000_000 // of a tarball
)

// File is a file of a tarball under the path that the map gives it.
type File struct {
	Path       string
	Executable bool
	Bytes      []byte
}

// Extract reads a tarball (plain, .gz, .xz or .zst, told by its first bytes)
// and returns the files that paths maps: from a name in the archive to an
// absolute path. A name that is a folder there, and ends in a slash in the map,
// brings everything below it. A name that the archive does not have is an error.
func Extract(ctx context.Context, data []byte, paths map[string]string) ([]File, error) {
	r, end, err := decompress(ctx, data)
	if err != nil {
		return nil, err
	}
	defer end()
	found := map[string]bool{}
	var out []File
	tr := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("read the archive: %w", err)
		}
		if n > maxEntries {
			return nil, fmt.Errorf("read the archive: more than %d entries", maxEntries)
		}
		name := path.Clean("/" + h.Name)[1:]
		from, to := lookup(paths, name)
		if to == "" || h.Typeflag == tar.TypeDir {
			continue
		}
		if h.Typeflag != tar.TypeReg {
			return nil, fmt.Errorf("read the archive: %s is not a regular file: map the file that it leads to", name)
		}
		if h.Size > maxFile {
			return nil, fmt.Errorf("read the archive: %s has %d bytes, more than %d", name, h.Size, int64(maxFile))
		}
		text := hugepage.Make(int(h.Size))
		if _, err := io.ReadFull(tr, text); err != nil {
			return nil, fmt.Errorf("read the archive: %s: %w", name, err)
		}
		found[from] = true
		out = append(out, File{Path: to, Executable: h.Mode&0o111 != 0, Bytes: text})
	}
	for _, from := range slices.Sorted(maps.Keys(paths)) {
		if !found[from] {
			return nil, fmt.Errorf("the archive has no %s: look at its names with tar", from)
		}
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

// lookup finds the key of a path map that a name falls under, and its path in
// the image.
func lookup(paths map[string]string, name string) (from, to string) {
	if to, ok := paths[name]; ok {
		return name, to
	}
	for _, from := range slices.Sorted(maps.Keys(paths)) {
		if rest, ok := strings.CutPrefix(name, from); ok && strings.HasSuffix(from, "/") {
			return from, path.Join(paths[from], rest)
		}
	}
	return "", ""
}

func decompress(ctx context.Context, data []byte) (io.Reader, func(), error) {
	src := bytes.NewReader(data)
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		z, err := gunzip.NewReader(src)
		return z, func() {}, err
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(src)
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	case bytes.HasPrefix(data, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		z, err := xz.NewReader(ctx, src, xz.Options{})
		if err != nil {
			return nil, nil, err
		}
		return z, func() { z.Close() }, nil
	}
	return src, func() {}, nil
}
