package inventory

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"

	"distroless/internal/gunzip"
	"distroless/internal/hugepage"
	"distroless/internal/rootfs"
)

const (
	// maxText bounds a file whose text is read (a package's paragraph, its list
	// of files, its copyright), in bytes.
	maxText = 32 << 20
	// maxEntries bounds the entries of a layer.
	maxEntries = 4 << 20
)

// Layer is what one layer holds: all that is read of it. It can be remembered,
// see [Layer.MarshalBinary], and given back with [Reader.Known].
type Layer struct {
	DiffID string
	Files  []File
	Texts  map[string][]byte // by path: what packages and os-release are read from
}

// FromEntries makes a Layer of the entries that it was written from, for who
// has them: that saves reading the layer back. read returns a file's bytes. It
// is what reading the layer gives, but for the MD5 digests.
func FromEntries(diffID string, entries []rootfs.Entry, read func(*rootfs.Entry) ([]byte, error)) (*Layer, error) {
	l := &Layer{DiffID: diffID, Texts: map[string][]byte{}, Files: make([]File, 0, len(entries))}
	for i := range entries {
		e := &entries[i]
		if e.Path == "/" {
			continue
		}
		f := File{Path: e.Path, Mode: e.Mode, UID: e.UID, GID: e.GID}
		switch e.Kind {
		case rootfs.Dir:
			f.Kind = Dir
		case rootfs.Symlink:
			f.Kind, f.Target = Symlink, e.Target
		case rootfs.Hardlink:
			f.Kind, f.Link = Regular, e.Target
		case rootfs.File:
			f.Kind, f.Size, f.SHA256 = Regular, e.Size, e.Digest
			var data []byte
			if e.Size > 0 {
				var err error
				if data, err = read(e); err != nil {
					return nil, err
				}
			}
			sum := sha1.Sum(data)
			f.SHA1 = hex.EncodeToString(sum[:])
			if isText(e.Path) {
				l.Texts[e.Path] = data
			}
		}
		l.Files = append(l.Files, f)
	}
	// A hard link stands behind what it names, as in the archive.
	slices.SortStableFunc(l.Files, func(a, b File) int { return cmp.Compare(min(len(a.Link), 1), min(len(b.Link), 1)) })
	return l, nil
}

// checkBlob reads a blob to its end and holds it against its digest and size.
func checkBlob(ctx context.Context, b Blobs, d v1.Descriptor) error {
	what := "layer " + d.Digest.String()
	r, err := b.Blob(d)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.CopyBuffer(h, io.LimitReader(r, d.Size+1), make([]byte, max(1, min(d.Size+1, 64<<10))))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && n < d.Size {
		return fmt.Errorf("%s: %w", what, err)
	}
	return sameDigest(d, h, n)
}

// sameDigest compares what was read of a layer with its descriptor.
func sameDigest(d v1.Descriptor, h hash.Hash, n int64) error {
	if got := hex.EncodeToString(h.Sum(nil)); got != d.Digest.Hex || d.Digest.Algorithm != "sha256" {
		return &Mismatch{Kind: "layer", What: "layer " + d.Digest.String(), Got: fmt.Sprintf("has digest sha256:%s, of %d bytes where %d were expected", got, n, d.Size)}
	}
	return nil
}

// readLayer reads a layer and verifies its digest and size. Whether the archive
// inside is the one that the config names is for the caller to see: diffID.
func readLayer(ctx context.Context, b Blobs, d v1.Descriptor, s *sums, in *room) (*Layer, error) {
	what := "layer " + d.Digest.String()
	r, err := b.Blob(d)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer r.Close()
	outer := sha256.New()
	raw := &counting{r: io.TeeReader(io.LimitReader(r, d.Size+1), outer)}
	l, err := unpackLayer(ctx, raw, string(d.MediaType), s, in)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	// The digest says more than an error of the decompressor: it comes first.
	if _, more := io.Copy(io.Discard, raw); more != nil && raw.n < d.Size {
		return nil, fmt.Errorf("%s: %w", what, more)
	}
	if err := sameDigest(d, outer, raw.n); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return l, nil
}

// unpackLayer reads the archive in a layer. Decompressing and hashing cost about
// the same, so each has a goroutine: a layer that is larger than all others
// together would else be read on one core.
func unpackLayer(ctx context.Context, raw io.Reader, mediaType string, s *sums, in *room) (*Layer, error) {
	z, done, err := in.decompress(mediaType, raw)
	if err != nil {
		return nil, err
	}
	ahead := readAhead(z, in)
	defer func() {
		ahead.stop()
		done()
	}()
	inner := sha256.New()
	all := io.TeeReader(ahead, inner)
	l := &Layer{Texts: map[string][]byte{}}
	tr := tar.NewReader(all)
	buf := in.piece
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(l.Files) == maxEntries {
			return nil, fmt.Errorf("more than %d entries", maxEntries)
		}
		if err := l.add(h, tr, s, buf); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	if _, err := io.CopyBuffer(io.Discard, onlyReader{all}, buf); err != nil {
		return nil, err
	}
	l.DiffID = "sha256:" + hex.EncodeToString(inner.Sum(nil))
	return l, nil
}

// onlyReader hides that a reader or writer can do more, so that io.CopyBuffer
// takes the buffer that it is given.
type onlyReader struct{ io.Reader }

func (l *Layer) add(h *tar.Header, r io.Reader, s *sums, buf []byte) error {
	f := File{Path: path.Clean("/" + h.Name), Kind: Other, Mode: uint32(h.Mode) & 0o7777, UID: h.Uid, GID: h.Gid}
	switch h.Typeflag {
	case tar.TypeDir:
		f.Kind = Dir
	case tar.TypeSymlink:
		f.Kind, f.Target = Symlink, h.Linkname
	case tar.TypeLink:
		f.Kind, f.Link = Regular, path.Clean("/"+h.Linkname)
	case tar.TypeReg:
		f.Kind, f.Size = Regular, h.Size
		s.reset()
		var text *bytes.Buffer
		w := io.Writer(s)
		if isText(f.Path) {
			if h.Size > maxText {
				return fmt.Errorf("%d bytes, more than %d", h.Size, maxText)
			}
			text = new(bytes.Buffer)
			text.Grow(int(min(h.Size, 1<<20)))
			w = io.MultiWriter(s, text)
		}
		if _, err := io.CopyBuffer(w, onlyReader{r}, buf); err != nil {
			return err
		}
		f.MD5, f.SHA1, f.SHA256 = s.hex(s.md5), s.hex(s.sha1), s.hex(s.sha256)
		if text != nil {
			l.Texts[f.Path] = text.Bytes()
		}
	}
	l.Files = append(l.Files, f)
	return nil
}

// isText reports whether a file says something of packages or the distro.
func isText(p string) bool {
	return strings.HasPrefix(p, statusDir) || strings.HasPrefix(p, rootfs.GeneratedDir) || strings.HasPrefix(p, infoDir) && strings.HasSuffix(p, ".md5sums") || p == statusFile ||
		p == "/usr/lib/os-release" || p == "/etc/os-release" ||
		strings.HasPrefix(p, "/usr/share/doc/") && path.Base(p) == "copyright"
}

// sums makes the digests of a file in one go; those that are nil are not
// wanted.
type sums struct{ md5, sha1, sha256 hash.Hash }

func newSums(withMD5, withSHA1 bool) *sums {
	s := &sums{sha256: sha256.New()}
	if withMD5 {
		s.md5 = md5.New()
	}
	if withSHA1 {
		s.sha1 = sha1.New()
	}
	return s
}

func (s *sums) each(f func(hash.Hash)) {
	for _, h := range []hash.Hash{s.md5, s.sha1, s.sha256} {
		if h != nil {
			f(h)
		}
	}
}

func (s *sums) reset() { s.each(func(h hash.Hash) { h.Reset() }) }

func (s *sums) Write(p []byte) (int, error) {
	s.each(func(h hash.Hash) { h.Write(p) })
	return len(p), nil
}

func (s *sums) hex(h hash.Hash) string {
	if h == nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

type counting struct {
	r io.Reader
	n int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// room is the memory that reading a layer takes, used for one after another: new
// pages cost as much as what is read into them.
type room struct {
	piece  []byte
	pieces [aheadPieces][]byte
	gzip   gunzip.Reader
}

func newRoom() *room {
	all := hugepage.Make((1 + aheadPieces) * aheadSize)
	in := &room{piece: all[:aheadSize:aheadSize]}
	for i := range in.pieces {
		all = all[aheadSize:]
		in.pieces[i] = all[:aheadSize:aheadSize]
	}
	return in
}

// decompress returns the archive inside a layer of that media type, OCI's or
// Docker's.
func (in *room) decompress(mediaType string, r io.Reader) (io.Reader, func(), error) {
	nothing := func() {}
	switch {
	case strings.HasSuffix(mediaType, "gzip"):
		return &in.gzip, nothing, in.gzip.Reset(r)
	case strings.HasSuffix(mediaType, "zstd"):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return nil, nothing, err
		}
		return z, z.Close, nil
	case strings.HasSuffix(mediaType, ".tar"):
		return r, nothing, nil
	}
	return nil, nothing, errors.New("media type " + mediaType + ": not known")
}
