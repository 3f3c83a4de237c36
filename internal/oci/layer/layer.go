// Package layer turns a list of entries into a layer: a tar archive, compressed,
// the same bytes for the same entries on every machine and number of cores. It
// knows nothing of images (package image does) and keeps nothing (the caller
// owns the cache; [Key] is what to look a layer up under).
//
// Start with [Write].
package layer

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"distroless/internal/rootfs"
)

// tarVersion changes with the bytes that the tar writer makes of the same
// entries: their order, above all.
const tarVersion = 1

// Blob describes a layer that has been written.
type Blob struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"` // of the compressed bytes, "sha256:<hex>"
	Size      int64  `json:"size"`   // compressed, in bytes
	DiffID    string `json:"diffId"` // digest of the tar archive
	Unpacked  int64  `json:"unpacked"`
}

// Key identifies a layer before it is written: a digest over its entries, the
// versions of the writers and the compression. Two layers with the same key
// have the same bytes.
func Key(entries []rootfs.Entry, c Compression) string {
	h := sha256.New()
	fmt.Fprintf(h, "tar %d %s\n", tarVersion, c.version())
	enc := json.NewEncoder(h)
	for i := range entries {
		e := &entries[i]
		// Only what the archive holds and what it is ordered by; owners and ELF
		// facts are neither.
		enc.Encode([]any{e.Path, e.Kind, e.Mode, e.UID, e.GID, e.MTime, e.Size, e.Digest, e.Target, e.Xattrs, e.Like}) // a hash takes every write
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Write writes a layer to w. read returns the bytes of a file, which must be
// those of the entry's digest: only their length is looked at again.
func Write(ctx context.Context, w io.Writer, entries []rootfs.Entry, read func(*rootfs.Entry) ([]byte, error), c Compression) (Blob, error) {
	out := &counter{w: w, h: sha256.New()}
	compressed := bufio.NewWriterSize(out, 256<<10) // compressors write a few hundred bytes at a time
	z, err := c.writer(compressed, unpackedSize(entries))
	if err != nil {
		return Blob{}, err
	}
	raw := &counter{w: z, h: sha256.New()}
	buf := bufio.NewWriterSize(raw, 256<<10)
	tw := tar.NewWriter(buf)
	for _, e := range order(entries) {
		if err := ctx.Err(); err != nil {
			return Blob{}, err
		}
		if err := writeEntry(tw, e, read); err != nil {
			return Blob{}, fmt.Errorf("write layer: %s: %w", e.Path, err)
		}
	}
	for _, end := range []func() error{tw.Close, buf.Flush, z.Close, compressed.Flush} {
		if err := end(); err != nil {
			return Blob{}, fmt.Errorf("write layer: %w", err)
		}
	}
	return Blob{MediaType: c.MediaType(), Digest: out.digest(), Size: out.n, DiffID: raw.digest(), Unpacked: raw.n}, nil
}

func writeEntry(tw *tar.Writer, e *rootfs.Entry, read func(*rootfs.Entry) ([]byte, error)) error {
	h := &tar.Header{
		Name: strings.TrimPrefix(e.Path, "/"), Mode: int64(e.Mode), Uid: e.UID, Gid: e.GID,
		ModTime: time.Unix(e.MTime, 0), Typeflag: tar.TypeReg,
	}
	switch e.Kind {
	case rootfs.Dir:
		h.Typeflag = tar.TypeDir
		h.Name += "/"
	case rootfs.Symlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Target
	case rootfs.Hardlink:
		h.Typeflag, h.Linkname = tar.TypeLink, strings.TrimPrefix(e.Target, "/")
	case rootfs.File:
		h.Size = e.Size
	}
	for _, k := range slices.Sorted(maps.Keys(e.Xattrs)) {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+k] = string(e.Xattrs[k])
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if e.Kind != rootfs.File || e.Size == 0 {
		return nil
	}
	data, err := read(e)
	if err != nil {
		return err
	}
	if int64(len(data)) != e.Size {
		return fmt.Errorf("%d bytes, expected %d", len(data), e.Size)
	}
	_, err = tw.Write(data)
	return err
}

// order puts directories first, parents before children, so that every
// runtime makes them with the right modes; then links, then files, alike ones
// side by side, which compresses better; hard links last, behind what they
// point at. The root itself is left out: a layer may not change it.
func order(entries []rootfs.Entry) []*rootfs.Entry {
	out := make([]*rootfs.Entry, 0, len(entries))
	keys := make(map[*rootfs.Entry]string, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.Path != "/" {
			out = append(out, e)
			keys[e] = kindOf(e)
		}
	}
	slices.SortFunc(out, func(a, b *rootfs.Entry) int {
		if a.Kind != b.Kind {
			return rank(a.Kind) - rank(b.Kind)
		}
		if c := strings.Compare(keys[a], keys[b]); c != 0 {
			return c
		}
		return strings.Compare(a.Path, b.Path)
	})
	return out
}

func rank(k rootfs.Kind) int {
	switch k {
	case rootfs.Dir:
		return 0
	case rootfs.Symlink:
		return 1
	case rootfs.File:
		return 2
	}
	return 3
}

// kindOf sorts files that resemble each other together.
func kindOf(e *rootfs.Entry) string {
	if e.Kind != rootfs.File {
		return ""
	}
	switch {
	case e.Like != "":
		return e.Like
	case path.Base(e.Path) == "copyright" || strings.HasPrefix(e.Path, "/usr/share/common-licenses/"):
		return "0licence"
	case strings.HasPrefix(e.Path, "/var/lib/dpkg/status.d/"):
		if strings.HasSuffix(e.Path, ".md5sums") {
			return "0sums"
		}
		return "0status"
	}
	return "2" + path.Ext(e.Path)
}

// unpackedSize is about how long the archive will be, in bytes. It depends on
// the entries alone, since the choice of the compressor hangs on it.
func unpackedSize(entries []rootfs.Entry) int64 {
	var n int64
	for i := range entries {
		n += 512
		if entries[i].Kind == rootfs.File {
			n += (entries[i].Size + 511) / 512 * 512
		}
	}
	return n
}

// counter counts and hashes what passes to w.
type counter struct {
	w io.Writer
	h hash.Hash
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.h.Write(p[:n])
	c.n += int64(n)
	return n, err
}

func (c *counter) digest() string { return "sha256:" + hex.EncodeToString(c.h.Sum(nil)) }
