package registry

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"distroless/internal/oci/layout"
)

const (
	refName = "org.opencontainers.image.ref.name"
	version = "org.opencontainers.image.version"
	base    = "org.opencontainers.image.base.name"
	// deepest is how many indices may lie within each other.
	deepest = 4
)

// reader reads a layout into manifests and blobs.
type reader struct {
	layout *layout.Layout
	seen   map[string]*Manifest
	blobs  map[string]*Blob
}

// entry is a named image of a layout.
type entry struct {
	descriptor v1.Descriptor
	tag        string
}

// attached is an attachment on its way into a plan.
type attached struct {
	manifest *Manifest
	subject  string
	tag      string
	used     bool
}

// entries divides index.json into images, which have a name, and manifests
// that have none. A single entry without a name is "latest".
func (r *reader) entries() (images []entry, loose []*Manifest, err error) {
	all := r.layout.Entries()
	for _, d := range all {
		tag := d.Annotations[refName]
		if tag == "" && len(all) == 1 {
			tag = "latest"
		}
		// Some tools write the whole reference there.
		tag = tag[strings.LastIndexAny(tag, ":/")+1:]
		if tag != "" {
			images = append(images, entry{d, tag})
			continue
		}
		m, err := r.manifest(d, 0)
		if err != nil {
			return nil, nil, err
		}
		if m.Subject == "" {
			return nil, nil, fmt.Errorf("entry %s of index.json: neither a name nor a subject: it cannot be published", d.Digest)
		}
		loose = append(loose, m)
	}
	return images, loose, nil
}

// tree returns a manifest and all below it; itself comes last.
func (r *reader) tree(d v1.Descriptor, depth int) ([]*Manifest, error) {
	top, err := r.manifest(d, depth)
	if err != nil {
		return nil, err
	}
	var out []*Manifest
	if d.MediaType.IsIndex() {
		idx, err := v1.ParseIndexManifest(bytes.NewReader(top.Bytes))
		if err != nil {
			return nil, fmt.Errorf("index %s: %w", d.Digest, err)
		}
		for _, child := range idx.Manifests {
			below, err := r.tree(child, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, below...)
			top.rank = max(top.rank, below[len(below)-1].rank+1)
		}
	}
	return append(out, top), nil
}

// manifest reads one manifest or index.
func (r *reader) manifest(d v1.Descriptor, depth int) (*Manifest, error) {
	if m := r.seen[d.Digest.String()]; m != nil {
		return m, nil
	}
	if depth > deepest {
		return nil, fmt.Errorf("index %s: more than %d indices within each other", d.Digest, deepest)
	}
	data, err := r.layout.Document(d)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != d.Size {
		return nil, fmt.Errorf("manifest %s has %d bytes, its descriptor says %d: the layout was altered or damaged", d.Digest, len(data), d.Size)
	}
	open := func(b v1.Descriptor) (*Blob, error) {
		f, size, err := r.layout.Blob(b.Digest)
		if err != nil {
			return nil, err
		}
		f.Close()
		return &Blob{Digest: b.Digest.String(), Size: size, open: func() (io.ReadSeekCloser, error) {
			f, _, err := r.layout.Blob(b.Digest)
			return f, err
		}}, nil
	}
	m, err := r.parse(data, d, open)
	if err != nil {
		return nil, err
	}
	r.seen[m.Digest] = m
	return m, nil
}

// parse reads what a manifest names. open finds a blob.
func (r *reader) parse(data []byte, d v1.Descriptor, open func(v1.Descriptor) (*Blob, error)) (*Manifest, error) {
	out := &Manifest{Digest: d.Digest.String(), Bytes: data}
	kind, err := mediaType(data, d.MediaType)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	out.MediaType = string(kind)
	out.referrer = v1.Descriptor{MediaType: kind, Size: int64(len(data)), Digest: d.Digest}
	if kind.IsIndex() {
		return out, r.index(out, data)
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if m.Subject != nil {
		out.Subject = m.Subject.Digest.String()
	}
	// What a referrers list says of a manifest, by the distribution specification.
	out.referrer.Annotations = m.Annotations
	out.referrer.ArtifactType = cmp.Or(m.ArtifactType, string(m.Config.MediaType))
	for _, b := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if b.MediaType != "" && !b.MediaType.IsDistributable() && strings.Contains(string(b.MediaType), "layer") {
			continue // its bytes lie elsewhere
		}
		blob, err := r.blob(b, open)
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
		}
		out.Blobs = append(out.Blobs, blob)
	}
	return out, nil
}

func (r *reader) index(out *Manifest, data []byte) error {
	idx, err := v1.ParseIndexManifest(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("index %s: %w", out.Digest, err)
	}
	if idx.Subject != nil {
		out.Subject = idx.Subject.Digest.String()
	}
	out.referrer.Annotations = idx.Annotations
	for _, c := range idx.Manifests {
		out.Children = append(out.Children, c.Digest.String())
	}
	return nil
}

// blob notes a blob once for the whole plan.
func (r *reader) blob(d v1.Descriptor, open func(v1.Descriptor) (*Blob, error)) (*Blob, error) {
	if b := r.blobs[d.Digest.String()]; b != nil {
		return b, nil
	}
	b, err := open(d)
	if err != nil {
		return nil, err
	}
	if b.Size != d.Size {
		return nil, fmt.Errorf("blob %s has %d bytes, its descriptor says %d: the layout was altered or damaged", d.Digest, b.Size, d.Size)
	}
	r.blobs[b.Digest] = b
	return b, nil
}

// annotations reads of an image, given with all below it, the version of its
// runtime and the names of the repositories of images that it stands on. The
// version is empty where architectures differ in it: upstream and Debian may
// have a release for one of them earlier, and a tag must not say what is not so.
func annotations(all []*Manifest) (v string, from []string) {
	seen := map[string]bool{}
	differ := false
	for i := len(all) - 1; i >= 0; i-- { // the index is last and counts first
		a := all[i].referrer.Annotations
		if v == "" {
			v = a[version]
		}
		differ = differ || a[version] != "" && a[version] != v
		name, _, _ := strings.Cut(a[base], ":")
		if name != "" && !strings.Contains(name, "/") && !seen[name] {
			seen[name] = true
			from = append(from, name)
		}
	}
	if differ {
		v = ""
	}
	return v, from
}

// attachments joins those of the layout with those given.
func (r *reader) attachments(loose []*Manifest, given map[string][]Attachment) ([]*attached, error) {
	var out []*attached
	for _, m := range loose {
		out = append(out, &attached{manifest: m, subject: m.Subject})
	}
	for _, subject := range slices.Sorted(maps.Keys(given)) {
		for _, a := range given[subject] {
			one, err := r.attachment(subject, a)
			if err != nil {
				return nil, fmt.Errorf("attachment of %s: %w", subject, err)
			}
			out = append(out, one)
		}
	}
	return out, nil
}

func (r *reader) attachment(subject string, a Attachment) (*attached, error) {
	sum := sha256.Sum256(a.Manifest)
	d := v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
	open := func(b v1.Descriptor) (*Blob, error) {
		data, ok := a.Blobs[b.Digest.String()]
		if !ok {
			return nil, fmt.Errorf("blob %s was not given", b.Digest)
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != b.Digest.Hex {
			return nil, fmt.Errorf("blob %s has digest sha256:%x", b.Digest, sum)
		}
		return &Blob{Digest: b.Digest.String(), Size: int64(len(data)), open: func() (io.ReadSeekCloser, error) {
			return inMemory{bytes.NewReader(data)}, nil
		}}, nil
	}
	m, err := r.parse(a.Manifest, d, open)
	if err != nil {
		return nil, err
	}
	if m.Subject != "" && m.Subject != subject {
		return nil, fmt.Errorf("manifest %s names another subject, %s", m.Digest, m.Subject)
	}
	if m.Subject == "" && a.Tag == "" {
		return nil, fmt.Errorf("manifest %s has neither a subject nor a tag: nobody would find it", m.Digest)
	}
	return &attached{manifest: m, subject: subject, tag: a.Tag}, nil
}

// unused reports attachments whose subject is not among the images.
func unused(extra []*attached) error {
	for _, a := range extra {
		if !a.used {
			return fmt.Errorf("attachment %s: its subject %s is not in the layout", a.manifest.Digest, a.subject)
		}
	}
	return nil
}

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
