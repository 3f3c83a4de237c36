package inventory

import (
	"archive/tar"
	"bufio"
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
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// maxText bounds a file whose text is read (a package's paragraph, its list
	// of files, its copyright), in bytes.
	maxText = 32 << 20
	// maxEntries bounds the entries of a layer.
	maxEntries = 4 << 20
)

// layer is what one layer holds.
type layer struct {
	diffID string
	files  []File
	texts  map[string][]byte // by path: what packages and os-release are read from
}

// readLayer reads a layer and verifies its digest and size. Whether the archive
// inside is the one that the config names is for the caller to see: diffID.
func readLayer(ctx context.Context, b Blobs, d v1.Descriptor) (*layer, error) {
	what := "layer " + d.Digest.String()
	r, err := b.Blob(d)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer r.Close()
	outer := sha256.New()
	raw := &counting{r: io.TeeReader(io.LimitReader(r, d.Size+1), outer)}
	l, err := unpackLayer(ctx, raw, string(d.MediaType))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	// The digest says more than an error of the decompressor: it comes first.
	if _, more := io.Copy(io.Discard, raw); more != nil && raw.n < d.Size {
		return nil, fmt.Errorf("%s: %w", what, more)
	}
	if got := hex.EncodeToString(outer.Sum(nil)); got != d.Digest.Hex || d.Digest.Algorithm != "sha256" {
		return nil, &Mismatch{Kind: "layer", What: what, Got: fmt.Sprintf("has digest sha256:%s, of %d bytes where %d were expected", got, raw.n, d.Size)}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return l, nil
}

func unpackLayer(ctx context.Context, raw io.Reader, mediaType string) (*layer, error) {
	z, done, err := decompress(mediaType, raw)
	if err != nil {
		return nil, err
	}
	defer done()
	inner := sha256.New()
	all := io.TeeReader(z, inner)
	l := &layer{texts: map[string][]byte{}}
	tr := tar.NewReader(all)
	sums := newSums()
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
		if len(l.files) == maxEntries {
			return nil, fmt.Errorf("more than %d entries", maxEntries)
		}
		if err := l.add(h, tr, sums); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return nil, err
	}
	l.diffID = "sha256:" + hex.EncodeToString(inner.Sum(nil))
	return l, nil
}

func (l *layer) add(h *tar.Header, r io.Reader, s *sums) error {
	f := File{Path: path.Clean("/" + h.Name), Kind: Other, Mode: uint32(h.Mode) & 0o7777, UID: h.Uid, GID: h.Gid}
	switch h.Typeflag {
	case tar.TypeDir:
		f.Kind = Dir
	case tar.TypeSymlink:
		f.Kind, f.Target = Symlink, h.Linkname
	case tar.TypeLink:
		f.Kind, f.link = Regular, path.Clean("/"+h.Linkname)
	case tar.TypeReg:
		f.Kind, f.Size = Regular, h.Size
		s.reset()
		var text *strings.Builder
		w := io.Writer(s)
		if isText(f.Path) {
			if h.Size > maxText {
				return fmt.Errorf("%d bytes, more than %d", h.Size, maxText)
			}
			text = new(strings.Builder)
			w = io.MultiWriter(s, text)
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
		f.MD5, f.SHA1, f.SHA256 = s.hex(s.md5), s.hex(s.sha1), s.hex(s.sha256)
		if text != nil {
			l.texts[f.Path] = []byte(text.String())
		}
	}
	l.files = append(l.files, f)
	return nil
}

// isText reports whether a file says something of packages or the distro.
func isText(p string) bool {
	return strings.HasPrefix(p, statusDir) || strings.HasPrefix(p, infoDir) && strings.HasSuffix(p, ".md5sums") || p == statusFile ||
		p == "/usr/lib/os-release" || p == "/etc/os-release" ||
		strings.HasPrefix(p, "/usr/share/doc/") && path.Base(p) == "copyright"
}

// sums makes the three digests of a file in one go.
type sums struct{ md5, sha1, sha256 hash.Hash }

func newSums() *sums { return &sums{md5.New(), sha1.New(), sha256.New()} }

func (s *sums) reset() {
	s.md5.Reset()
	s.sha1.Reset()
	s.sha256.Reset()
}

func (s *sums) Write(p []byte) (int, error) {
	s.md5.Write(p)
	s.sha1.Write(p)
	s.sha256.Write(p)
	return len(p), nil
}

func (s *sums) hex(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

type counting struct {
	r io.Reader
	n int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// decompress returns the archive inside a layer of that media type, OCI's or
// Docker's.
func decompress(mediaType string, r io.Reader) (io.Reader, func(), error) {
	nothing := func() {}
	switch {
	case strings.HasSuffix(mediaType, "gzip"):
		z, err := gzip.NewReader(bufio.NewReaderSize(r, 64<<10))
		if err != nil {
			return nil, nothing, err
		}
		return z, nothing, nil
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
