package layout

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"

	"distroless/internal/gunzip"
)

// maxDocument bounds a JSON document of a layout, in bytes.
const maxDocument = 16 << 20

// Layout is a layout that is read: a folder, or a tar archive of one.
type Layout struct {
	path  string
	files map[string]location // of an archive; nil for a folder
	index v1.IndexManifest
}

// location is where a file's bytes lie in an archive.
type location struct{ offset, size int64 }

// Open reads a layout's index. The folder's or archive's blobs are read, and
// verified against their digests, when they are asked for.
func Open(p string) (*Layout, error) {
	l := &Layout{path: p}
	info, err := os.Stat(p)
	if err != nil {
		return nil, fmt.Errorf("open layout: %w", err)
	}
	if info.Mode().IsRegular() {
		if err := l.scan(); err != nil {
			return nil, fmt.Errorf("open layout %s: %w", p, err)
		}
	}
	data, err := l.read("index.json", maxDocument)
	if err != nil {
		return nil, fmt.Errorf("open layout %s: %w: is it an OCI layout?", p, err)
	}
	if err := json.Unmarshal(data, &l.index); err != nil {
		return nil, fmt.Errorf("open layout %s: index.json: %w", p, err)
	}
	return l, nil
}

// scan notes where each file of an archive lies.
func (l *Layout) scan() error {
	f, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer f.Close()
	l.files = map[string]location{}
	tr := tar.NewReader(f)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		offset, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		l.files[path.Clean(h.Name)] = location{offset, h.Size}
	}
}

// file opens a file of the layout.
func (l *Layout) file(name string) (io.ReadCloser, error) {
	if l.files == nil {
		return os.Open(filepath.Join(l.path, filepath.FromSlash(name)))
	}
	at, ok := l.files[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, os.ErrNotExist)
	}
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	return &section{io.NewSectionReader(f, at.offset, at.size), f}, nil
}

type section struct {
	io.Reader
	io.Closer
}

func (l *Layout) read(name string, most int64) ([]byte, error) {
	r, err := l.file(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s: more than %d bytes", name, most)
	}
	return data, err
}

// Tags lists the names in the layout's index, in its order.
func (l *Layout) Tags() []string {
	var out []string
	for _, d := range l.index.Manifests {
		if n := d.Annotations[refName]; n != "" {
			out = append(out, n)
		}
	}
	return out
}

// Tag returns the descriptor of a name. An empty name means the only one, or
// "latest".
func (l *Layout) Tag(name string) (v1.Descriptor, error) {
	if name == "" && len(l.index.Manifests) == 1 {
		return l.index.Manifests[0], nil
	}
	if name == "" {
		name = "latest"
	}
	for _, d := range l.index.Manifests {
		if d.Annotations[refName] == name {
			return d, nil
		}
	}
	return v1.Descriptor{}, fmt.Errorf("layout %s: no tag %q, expected one of %s", l.path, name, strings.Join(l.Tags(), ", "))
}

// Document returns the bytes of a blob that is a document, verified.
func (l *Layout) Document(d v1.Descriptor) ([]byte, error) {
	data, err := l.read(blobName(d.Digest.String()), maxDocument)
	if err != nil {
		return nil, fmt.Errorf("layout %s: %w", l.path, err)
	}
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); d.Digest.Algorithm != "sha256" || got != d.Digest.Hex {
		return nil, fmt.Errorf("layout %s: blob %s has digest sha256:%s: the layout was altered or damaged", l.path, d.Digest, got)
	}
	return data, nil
}

// Opened is one image of a layout.
type Opened struct {
	Descriptor v1.Descriptor
	Manifest   v1.Manifest
	Config     v1.ConfigFile
	layout     *Layout
}

// Images returns the images behind a descriptor: itself, or the members of the
// index that it is.
func (l *Layout) Images(d v1.Descriptor) ([]*Opened, error) {
	data, err := l.Document(d)
	if err != nil {
		return nil, err
	}
	if d.MediaType.IsIndex() {
		idx, err := v1.ParseIndexManifest(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("layout %s: index %s: %w", l.path, d.Digest, err)
		}
		var out []*Opened
		for _, m := range idx.Manifests {
			if m.MediaType.IsIndex() {
				return nil, fmt.Errorf("layout %s: index %s: an index within an index", l.path, d.Digest)
			}
			images, err := l.Images(m)
			if err != nil {
				return nil, err
			}
			out = append(out, images...)
		}
		return out, nil
	}
	o := &Opened{Descriptor: d, layout: l}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("layout %s: manifest %s: %w", l.path, d.Digest, err)
	}
	o.Manifest = *m
	cfg, err := l.Document(m.Config)
	if err != nil {
		return nil, err
	}
	c, err := v1.ParseConfigFile(bytes.NewReader(cfg))
	if err != nil {
		return nil, fmt.Errorf("layout %s: config %s: %w", l.path, m.Config.Digest, err)
	}
	o.Config = *c
	return []*Opened{o}, nil
}

// Walk calls f for every entry of a layer, in order. After the last one the
// layer's digest has been verified; an error of f ends the walk.
func (o *Opened) Walk(d v1.Descriptor, f func(*tar.Header, io.Reader) error) error {
	r, err := o.layout.file(blobName(d.Digest.String()))
	if err != nil {
		return fmt.Errorf("layout %s: %w", o.layout.path, err)
	}
	defer r.Close()
	h := sha256.New()
	raw := io.TeeReader(r, h)
	z, err := decompressor(string(d.MediaType), raw)
	if err != nil {
		return fmt.Errorf("layer %s: %w", d.Digest, err)
	}
	tr := tar.NewReader(z)
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("layer %s: %w", d.Digest, err)
		}
		if err := f(hdr, tr); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, raw); err != nil {
		return fmt.Errorf("layer %s: %w", d.Digest, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != d.Digest.Hex {
		return fmt.Errorf("layer %s has digest sha256:%s: the layout was altered or damaged", d.Digest, got)
	}
	return nil
}

func decompressor(mediaType string, r io.Reader) (io.Reader, error) {
	switch {
	case strings.HasSuffix(mediaType, "gzip"):
		return gunzip.NewReader(r)
	case strings.HasSuffix(mediaType, "zstd"):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case strings.HasSuffix(mediaType, ".tar"):
		return r, nil
	}
	return nil, errors.New("media type " + mediaType + ": not known")
}
