// Package registry publishes OCI layouts: it plans what a push is, asks a
// registry what it has of that, and carries out the rest. What it speaks is
// the OCI distribution specification 1.1.
//
// It is not for making images or signatures, and adds nothing to what it
// pushes: the bytes of a layout go out as they are.
//
// Start with [Make], which needs no network, and [Client.Push].
package registry

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"distroless/internal/oci/layout"
)

// Source is one layout with what it is called.
type Source struct {
	Layout *layout.Layout
	Image  string // "python3"
	Distro string // "debian13"; may be empty
	// Attachments by the digest of what they belong to, "sha256:<hex>".
	// Those in the layout itself, entries of index.json that have no name and
	// a subject, are found without.
	Attachments map[string][]Attachment
}

// Attachment is a manifest that says something of another: a signature, an
// SBOM, a provenance. It names its subject, or has a tag, or both.
type Attachment struct {
	Manifest []byte
	Blobs    map[string][]byte // by digest: what the manifest names
	Tag      string            // "sha256-<hex>.sig", for tools that look there; may be empty
}

// Plan is a push: what has to be in which repositories in the end.
type Plan struct {
	Naming       Naming
	Repositories []*Repository // sorted by name
	blobs        map[string]*Blob
}

// Repository is what has to be in one repository.
type Repository struct {
	Name      string // with its path, without the registry: "team/base-debian13"
	Blobs     []*Blob
	Manifests []*Manifest // each behind what it names, attachments behind their subjects
	Tags      []Tag       // the ones that are never moved first
	// From are repositories of images that these stand on. What they hold
	// need not be uploaded.
	From []string
}

// Blob is a configuration, a layer, or what an attachment holds.
type Blob struct {
	Digest string
	Size   int64 // in bytes
	open   func() (io.ReadSeekCloser, error)
}

// Manifest is a manifest or an index.
type Manifest struct {
	Digest    string
	MediaType string
	Bytes     []byte
	Blobs     []*Blob  // that it names
	Children  []string // of an index: the manifests that it names
	Subject   string   // of an attachment
	referrer  v1.Descriptor
	rank      int // lower ranks are pushed first
}

// Tag is a name in a repository.
type Tag struct {
	Name, Digest string
	Immutable    bool // an error if the registry has it for another digest
	attachment   bool // of an attachment: it moves with these, before the images' own
}

// Make plans the push of layouts. It reads their documents, verified, and
// finds out whether all their blobs are there; it asks no registry.
func Make(sources []Source, naming Naming) (*Plan, error) {
	_, prefix, err := naming.check()
	if err != nil {
		return nil, err
	}
	m := &maker{naming: naming, prefix: prefix, repositories: map[string]*content{}, blobs: map[string]*Blob{}}
	for i := range sources {
		if err := m.source(&sources[i]); err != nil {
			return nil, fmt.Errorf("plan push of %s: %w", sources[i].Layout.Path(), err)
		}
	}
	return m.plan()
}

// maker gathers a plan.
type maker struct {
	naming       Naming
	prefix       string
	repositories map[string]*content
	blobs        map[string]*Blob
}

// content is a repository while it is gathered.
type content struct {
	manifests map[string]*Manifest
	tags      map[string]Tag
	from      map[string]bool
}

func (m *maker) repository(name string) *content {
	if m.prefix != "" {
		name = m.prefix + "/" + name
	}
	c := m.repositories[name]
	if c == nil {
		c = &content{map[string]*Manifest{}, map[string]Tag{}, map[string]bool{}}
		m.repositories[name] = c
	}
	return c
}

// source adds a layout's images and attachments.
func (m *maker) source(s *Source) error {
	r := &reader{layout: s.Layout, seen: map[string]*Manifest{}, blobs: m.blobs}
	images, loose, err := r.entries()
	if err != nil {
		return err
	}
	if len(images) == 0 {
		return fmt.Errorf("no image in it")
	}
	reached := map[*content]bool{}
	for _, e := range images {
		all, err := r.tree(e.descriptor, 0)
		if err != nil {
			return err
		}
		top := all[len(all)-1]
		version, from := annotations(all)
		for _, n := range m.naming.names(s.Image, s.Distro, version, e.tag) {
			if !tagName().MatchString(n.tag) {
				return fmt.Errorf("tag %q: no registry takes it: at most 128 letters, digits and ._-", n.tag)
			}
			c := m.repository(n.repository)
			if err := c.tag(n.repository, Tag{Name: n.tag, Digest: top.Digest, Immutable: n.immutable, attachment: signatureTag().MatchString(n.tag)}); err != nil {
				return err
			}
			for _, one := range all {
				c.manifests[one.Digest] = one
			}
			for _, f := range from {
				c.from[f] = true
			}
			reached[c] = true
		}
	}
	extra, err := r.attachments(loose, s.Attachments)
	if err != nil {
		return err
	}
	for c := range reached {
		if err := c.attach(extra); err != nil {
			return err
		}
	}
	return unused(extra)
}

func (c *content) tag(repository string, t Tag) error {
	if old, ok := c.tags[t.Name]; ok && old.Digest != t.Digest {
		return fmt.Errorf("tag %s:%s: two images of this push want it, %s and %s: push one of them alone, or elsewhere", repository, t.Name, old.Digest, t.Digest)
	} else if ok {
		t.Immutable = t.Immutable || old.Immutable
	}
	c.tags[t.Name] = t
	return nil
}

// attach adds the attachments whose subjects are here, and those on them.
func (c *content) attach(extra []*attached) error {
	for more := true; more; {
		more = false
		for _, a := range extra {
			subject := c.manifests[a.subject]
			if subject == nil || c.manifests[a.manifest.Digest] != nil {
				continue
			}
			a.manifest.rank = max(a.manifest.rank, subject.rank+1)
			c.manifests[a.manifest.Digest] = a.manifest
			a.used, more = true, true
			if a.tag == "" {
				continue
			}
			if err := c.tag("", Tag{Name: a.tag, Digest: a.manifest.Digest, attachment: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// plan puts what was gathered in order.
func (m *maker) plan() (*Plan, error) {
	p := &Plan{Naming: m.naming, blobs: m.blobs}
	for _, name := range slices.Sorted(maps.Keys(m.repositories)) {
		c := m.repositories[name]
		r := &Repository{Name: name, Manifests: slices.Collect(maps.Values(c.manifests)), Tags: slices.Collect(maps.Values(c.tags))}
		slices.SortFunc(r.Manifests, func(a, b *Manifest) int {
			return cmp.Or(cmp.Compare(a.rank, b.rank), strings.Compare(a.Digest, b.Digest))
		})
		slices.SortFunc(r.Tags, func(a, b Tag) int {
			return cmp.Or(tagRank(a)-tagRank(b), strings.Compare(a.Name, b.Name))
		})
		seen := map[string]bool{}
		for _, one := range r.Manifests {
			for _, b := range one.Blobs {
				if !seen[b.Digest] {
					seen[b.Digest] = true
					r.Blobs = append(r.Blobs, b)
				}
			}
		}
		// The largest first: they decide when the push ends.
		slices.SortFunc(r.Blobs, func(a, b *Blob) int {
			return cmp.Or(cmp.Compare(b.Size, a.Size), strings.Compare(a.Digest, b.Digest))
		})
		for from := range c.from {
			if from = joinPath(m.prefix, from); from != name {
				r.From = append(r.From, from)
			}
		}
		slices.Sort(r.From)
		p.Repositories = append(p.Repositories, r)
	}
	return p, nil
}

func tagRank(t Tag) int {
	switch {
	case t.attachment:
		return 0
	case t.Immutable:
		return 1
	}
	return 2
}

func joinPath(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "/" + name
}

// mediaType is what a manifest says of itself, or what its shape says.
func mediaType(data []byte, said types.MediaType) (types.MediaType, error) {
	if said != "" {
		return said, nil
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	if m.MediaType != "" {
		return m.MediaType, nil
	}
	return types.OCIManifestSchema1, nil
}
