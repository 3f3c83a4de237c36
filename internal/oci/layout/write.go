// Package layout writes and reads OCI image layouts: the folder, or a tar
// archive of it, that one stage hands to the next. See image-layout.md of the
// OCI image specification.
//
// Start with [Write] and [Open].
package layout

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"distroless/internal/oci/image"
)

// refName is the annotation that names an entry of index.json.
const refName = "org.opencontainers.image.ref.name"

// Tag is one named entry of a layout: an index of several platforms, or one
// image's manifest.
type Tag struct {
	Name  string
	Index *image.Blob  // for an index
	Image *image.Image // for one image
}

// Contents are all that a layout holds. Blobs opens a layer by its digest; the
// bytes are verified as they are copied.
type Contents struct {
	Tags   []Tag
	Images []*image.Image // every image that the tags and indices name
	Blobs  func(digest string) (io.ReadCloser, error)
	// Link, where it is set, makes file a link to a layer whose bytes it has
	// verified, so that layouts with the same layer share one copy; false where
	// the file system does not, and the layer is to be copied.
	Link func(digest, file string) (bool, error)
}

// descriptor is an entry of index.json.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Size        int64             `json:"size"`
	Digest      string            `json:"digest"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *platform         `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

// indexJSON is the text of index.json.
func (c *Contents) indexJSON() ([]byte, error) {
	idx := struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []descriptor `json:"manifests"`
	}{2, "application/vnd.oci.image.index.v1+json", []descriptor{}}
	for _, t := range c.Tags {
		d := descriptor{Annotations: map[string]string{refName: t.Name}}
		b := t.Index
		if b == nil {
			b = &t.Image.Manifest
			p := t.Image.Platform
			d.Platform = &platform{p.Architecture, p.OS, p.Variant}
		}
		d.MediaType, d.Size, d.Digest = b.MediaType, int64(len(b.Bytes)), b.Digest
		idx.Manifests = append(idx.Manifests, d)
	}
	data, err := json.MarshalIndent(idx, "", "  ")
	return append(data, '\n'), err
}

// layoutFile is the file that marks a folder as a layout.
const layoutFile = `{"imageLayoutVersion":"1.0.0"}`

// documents returns the JSON blobs, each once, in a fixed order.
func (c *Contents) documents() []image.Blob {
	var out []image.Blob
	seen := map[string]bool{}
	add := func(b image.Blob) {
		if !seen[b.Digest] {
			seen[b.Digest] = true
			out = append(out, b)
		}
	}
	for _, t := range c.Tags {
		if t.Index != nil {
			add(*t.Index)
		}
	}
	for _, m := range c.Images {
		add(m.Manifest)
		add(m.Config)
	}
	slices.SortFunc(out, func(a, b image.Blob) int { return strings.Compare(a.Digest, b.Digest) })
	return out
}

// layers returns the layers' digests and sizes, each once, sorted.
func (c *Contents) layers() []image.Layer {
	var out []image.Layer
	seen := map[string]bool{}
	for _, m := range c.Images {
		for _, l := range m.Layers {
			if !seen[l.Digest] {
				seen[l.Digest] = true
				out = append(out, l)
			}
		}
	}
	slices.SortFunc(out, func(a, b image.Layer) int { return strings.Compare(a.Digest, b.Digest) })
	return out
}

// Write makes dir a layout. A layout that was there is replaced whole once the
// new one is complete; anything else that is not empty is an error.
func Write(ctx context.Context, dir string, c *Contents) error {
	if err := replaceable(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-*")
	if err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := c.fill(ctx, &folder{dir: tmp}); err != nil {
		return fmt.Errorf("write layout %s: %w", dir, err)
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("write layout %s: %w", dir, err)
	}
	return swap(tmp, dir)
}

// swap puts the folder tmp in the place of dir.
func swap(tmp, dir string) error {
	old := tmp + ".old"
	err := os.Rename(dir, old)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace layout %s: %w", dir, err)
	}
	moved := err == nil
	if err := os.Rename(tmp, dir); err != nil {
		if moved {
			err = errors.Join(err, os.Rename(old, dir))
		}
		return fmt.Errorf("replace layout %s: %w", dir, err)
	}
	if moved {
		return os.RemoveAll(old)
	}
	return nil
}

// replaceable refuses to replace a folder that is not a layout.
func replaceable(dir string) error {
	names, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	if len(names) == 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, "oci-layout")); err != nil {
		return fmt.Errorf("write layout %s: the folder is there and is not an OCI layout: choose another --output, or remove it", dir)
	}
	return nil
}

// Archive writes a layout as a tar archive to w, the same bytes for the same
// contents.
func Archive(ctx context.Context, w io.Writer, c *Contents) error {
	a := &archive{tw: tar.NewWriter(w)}
	for _, m := range c.Images {
		for _, l := range m.Layers {
			a.time = max(a.time, l.Created)
		}
	}
	if err := c.fill(ctx, a); err != nil {
		return fmt.Errorf("write OCI archive: %w", err)
	}
	if err := a.tw.Close(); err != nil {
		return fmt.Errorf("write OCI archive: %w", err)
	}
	return nil
}

// sink takes the files of a layout.
type sink interface {
	put(name string, size int64, r io.Reader) error
}

// fill writes every file of the layout; index.json comes last, so that what it
// names is there.
func (c *Contents) fill(ctx context.Context, s sink) error {
	if err := s.put("oci-layout", int64(len(layoutFile)), strings.NewReader(layoutFile)); err != nil {
		return err
	}
	for _, b := range c.documents() {
		if err := s.put(blobName(b.Digest), int64(len(b.Bytes)), strings.NewReader(string(b.Bytes))); err != nil {
			return err
		}
	}
	for _, l := range c.layers() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.copyBlob(s, l.Digest, l.Size); err != nil {
			return err
		}
	}
	idx, err := c.indexJSON()
	if err != nil {
		return err
	}
	return s.put("index.json", int64(len(idx)), strings.NewReader(string(idx)))
}

func blobName(digest string) string {
	algorithm, hex, _ := strings.Cut(digest, ":")
	return path.Join("blobs", algorithm, hex)
}

func (c *Contents) copyBlob(s sink, digest string, size int64) error {
	if f, ok := s.(*folder); ok && c.Link != nil {
		if linked, err := c.Link(digest, f.name(blobName(digest))); linked || err != nil {
			return err
		}
	}
	r, err := c.Blobs(digest)
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	n := &counting{r: io.TeeReader(io.LimitReader(r, size+1), h)}
	if err := s.put(blobName(digest), size, n); err != nil {
		return err
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != digest || n.n != size {
		return fmt.Errorf("layer %s: the cache holds %d bytes with digest %s: run the build again", digest, n.n, got)
	}
	return nil
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

// folder is a sink that writes files.
type folder struct{ dir string }

func (f *folder) name(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

func (f *folder) put(name string, _ int64, r io.Reader) error {
	file := f.name(name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	w, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		w.Close()
		return err
	}
	return w.Close()
}

// archive is a sink that writes a tar archive.
type archive struct {
	tw   *tar.Writer
	time int64
}

func (a *archive) put(name string, size int64, r io.Reader) error {
	h := &tar.Header{Name: name, Mode: 0o644, Size: size, Typeflag: tar.TypeReg, ModTime: time.Unix(a.time, 0), Format: tar.FormatUSTAR}
	if err := a.tw.WriteHeader(h); err != nil {
		return err
	}
	if _, err := io.Copy(a.tw, r); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
