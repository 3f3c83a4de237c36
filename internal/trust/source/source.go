// Package source says where an image and what is attached to it are read from:
// a layout on disk or an archive of one, or a registry through package registry. It reads documents, verified against their
// digests; what they mean is for the packages beside it.
//
// Start with [Open] and [Images].
package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"distroless/internal/hugepage"
	"distroless/internal/oci/layout"
	"distroless/internal/oci/registry"
	"distroless/internal/trust/inventory"
)

// MaxDocument bounds a document that is read whole, in bytes: manifests,
// SBOMs, signatures.
const MaxDocument = 64 << 20

// Source is a place that holds images with their attachments.
type Source interface {
	// Name is the reference as the user wrote it.
	Name() string
	// Resolve returns the descriptor of what the reference names.
	Resolve(ctx context.Context) (v1.Descriptor, error)
	// Blob opens a blob or a manifest. Its bytes need not be verified.
	Blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
	// Referrers lists the manifests that name a digest as their subject.
	Referrers(ctx context.Context, h v1.Hash) ([]v1.Descriptor, error)
	// Tag looks a tag of the same repository up; false where there is none.
	Tag(ctx context.Context, tag string) (v1.Descriptor, bool, error)
}

// Document reads a blob whole and verifies its digest. One that does not agree
// is an [*inventory.Mismatch].
func Document(ctx context.Context, s Source, d v1.Descriptor) ([]byte, error) {
	if d.Size < 0 || d.Size > MaxDocument {
		return nil, fmt.Errorf("read %s: %d bytes, more than %d", d.Digest, d.Size, MaxDocument)
	}
	r, err := s.Blob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := readAtMost(r, d.Size)
	if err != nil && int64(len(data)) < d.Size { // all of it says more than an error at the end
		return nil, fmt.Errorf("read %s: %w", d.Digest, err)
	}
	if int64(len(data)) > d.Size {
		return nil, &inventory.Mismatch{Kind: kindOf(d.MediaType), What: kindOf(d.MediaType) + " " + d.Digest.String(), Got: fmt.Sprintf("has more than the %d bytes that its descriptor says", d.Size)}
	}
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); d.Digest.Algorithm != "sha256" || got != d.Digest.Hex {
		return nil, &inventory.Mismatch{Kind: kindOf(d.MediaType), What: kindOf(d.MediaType) + " " + d.Digest.String(), Got: "has digest sha256:" + got}
	}
	return data, nil
}

// readAtMost reads to the end, or one byte more than size. A document that is
// larger than it should be is another one, however it goes on.
func readAtMost(r io.Reader, size int64) ([]byte, error) {
	buf := bytes.NewBuffer(hugepage.Make(int(min(size+bytes.MinRead, 8<<20)))[:0])
	_, err := buf.ReadFrom(io.LimitReader(r, size+1))
	return buf.Bytes(), err
}

// kindOf is what messages call a document of that media type.
func kindOf(t types.MediaType) string {
	switch {
	case t.IsIndex():
		return "index"
	case t.IsImage():
		return "manifest"
	case t.IsConfig():
		return "config"
	}
	return "document"
}

// Images returns the images behind a descriptor: itself, or the members of the
// index that it is, in their order. Members for no platform (attestations that
// some builders put there) are passed over.
func Images(ctx context.Context, s Source, d v1.Descriptor) ([]inventory.Image, error) {
	data, err := Document(ctx, s, d)
	if err != nil {
		return nil, err
	}
	if d.MediaType.IsIndex() {
		idx, err := v1.ParseIndexManifest(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("index %s: %w", d.Digest, err)
		}
		var out []inventory.Image
		for _, m := range idx.Manifests {
			if m.MediaType.IsIndex() {
				return nil, fmt.Errorf("index %s: an index within an index", d.Digest)
			}
			if p := m.Platform; p != nil && p.OS == "unknown" {
				continue
			}
			images, err := Images(ctx, s, m)
			if err != nil {
				return nil, err
			}
			out = append(out, images...)
		}
		return out, nil
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	text, err := Document(ctx, s, m.Config)
	if err != nil {
		return nil, err
	}
	c, err := v1.ParseConfigFile(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", m.Config.Digest, err)
	}
	return []inventory.Image{{Descriptor: d, Manifest: *m, Config: *c, Blobs: blobs{ctx, s}}}, nil
}

// blobs opens an image's layers for as long as the call that asked for the
// image lasts.
type blobs struct {
	ctx context.Context
	s   Source
}

func (b blobs) Blob(d v1.Descriptor) (io.ReadCloser, error) { return b.s.Blob(b.ctx, d) }

// onDisk is a layout with a tag.
type onDisk struct {
	ref, tag string
	*layout.Layout
}

var _ Source = (*onDisk)(nil)

// IsLayout reports whether a reference names a layout or an archive on disk,
// with or without a tag behind a colon, and returns the two.
func IsLayout(ref string) (path, tag string, ok bool) {
	if exists(ref) {
		return ref, "", true
	}
	if i := strings.LastIndexByte(ref, ':'); i > 0 && exists(ref[:i]) {
		return ref[:i], ref[i+1:], true
	}
	return "", "", false
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

var _ Source = (*registry.Remote)(nil)

// Open opens "path[:tag]": a layout, or a tar archive of one.
func Open(ref string) (Source, error) {
	path, tag, ok := IsLayout(ref)
	if !ok {
		return nil, fmt.Errorf("open %s: no layout or archive is there: %w", ref, os.ErrNotExist)
	}
	l, err := layout.Open(path)
	if err != nil {
		return nil, err
	}
	return &onDisk{ref: ref, tag: tag, Layout: l}, nil
}

func (o *onDisk) Name() string { return o.ref }

func (o *onDisk) Resolve(context.Context) (v1.Descriptor, error) {
	if o.tag != "" {
		return o.Layout.Tag(o.tag)
	}
	// The only name, where there are attachments without one.
	if tags := o.imageTags(); len(tags) == 1 {
		return o.Layout.Tag(tags[0])
	}
	return o.Layout.Tag("")
}

// imageTags lists the names in the layout that are not those of signatures.
func (o *onDisk) imageTags() []string {
	var out []string
	for _, t := range o.Tags() {
		if !strings.HasPrefix(t, "sha256-") {
			out = append(out, t)
		}
	}
	return out
}

func (o *onDisk) Blob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	r, _, err := o.Layout.Blob(d.Digest)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (o *onDisk) Tag(_ context.Context, tag string) (v1.Descriptor, bool, error) {
	for _, d := range o.Entries() {
		if d.Annotations[refName] == tag {
			return d, true, nil
		}
	}
	return v1.Descriptor{}, false, nil
}

const refName = "org.opencontainers.image.ref.name"

// Referrers reads every manifest of the index that has no name, or the name of
// an attachment, and returns those with that subject.
func (o *onDisk) Referrers(ctx context.Context, h v1.Hash) ([]v1.Descriptor, error) {
	var out []v1.Descriptor
	for _, d := range o.Entries() {
		if d.Annotations[refName] != "" || !d.MediaType.IsImage() {
			continue
		}
		data, err := Document(ctx, o, d)
		if err != nil {
			return nil, err
		}
		m, err := v1.ParseManifest(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
		}
		if m.Subject != nil && m.Subject.Digest == h {
			d.ArtifactType, d.Annotations = m.ArtifactType, m.Annotations
			out = append(out, d)
		}
	}
	return out, nil
}
