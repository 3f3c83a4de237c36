// Package image makes the documents of an OCI image: configuration, manifest
// and index, as the OCI image specification 1.1 defines them. It is pure: the
// same layers and settings give the same bytes.
//
// Start with [Settings] and [Build].
package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"distroless/internal/oci/layer"
)

// Platform of an image, in OCI's names.
type Platform struct {
	OS, Architecture, Variant string
}

// Settings are what an image's configuration says besides its layers.
type Settings struct {
	Platform    Platform
	Created     int64 // seconds since 1970
	Env         map[string]string
	Entrypoint  []string
	Cmd         []string
	User        string
	Workdir     string
	Labels      map[string]string
	Annotations map[string]string // of the manifest
}

// Layer is a layer with the words that the configuration's history says of it.
type Layer struct {
	layer.Blob
	CreatedBy string
	Created   int64
}

// Blob is a document with its digest.
type Blob struct {
	MediaType string
	Digest    string // "sha256:<hex>"
	Bytes     []byte
}

func newBlob(mediaType types.MediaType, v any) (Blob, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return Blob{}, fmt.Errorf("make %s: %w", mediaType, err)
	}
	data := bytes.TrimRight(b.Bytes(), "\n")
	sum := sha256.Sum256(data)
	return Blob{MediaType: string(mediaType), Digest: "sha256:" + hex.EncodeToString(sum[:]), Bytes: data}, nil
}

// Image is one image for one platform: the documents and the layers that they
// name, the lowest first.
type Image struct {
	Config, Manifest Blob
	Layers           []Layer
	Platform         Platform
	Annotations      map[string]string // for the image's entry in an index
}

// Size is what a client pulls for the image: its layers, compressed, in bytes.
func (m *Image) Size() int64 {
	var n int64
	for _, l := range m.Layers {
		n += l.Size
	}
	return n
}

// Build makes configuration and manifest.
func Build(s Settings, layers []Layer) (*Image, error) {
	cfg := v1.ConfigFile{
		Architecture: s.Platform.Architecture,
		Variant:      s.Platform.Variant,
		OS:           s.Platform.OS,
		Created:      v1.Time{Time: time.Unix(s.Created, 0).UTC()},
		RootFS:       v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}},
		Config: v1.Config{
			Env: environment(s.Env), Entrypoint: s.Entrypoint, Cmd: s.Cmd,
			User: s.User, WorkingDir: s.Workdir, Labels: s.Labels,
		},
	}
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Annotations: s.Annotations,
		Layers: []v1.Descriptor{},
	}
	for _, l := range layers {
		diff, err := v1.NewHash(l.DiffID)
		if err != nil {
			return nil, fmt.Errorf("make config: layer %s: %w", l.CreatedBy, err)
		}
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, diff)
		cfg.History = append(cfg.History, v1.History{Created: v1.Time{Time: time.Unix(l.Created, 0).UTC()}, CreatedBy: l.CreatedBy})
		d, err := descriptor(l.MediaType, l.Digest, l.Size)
		if err != nil {
			return nil, err
		}
		m.Layers = append(m.Layers, d)
	}
	config, err := newBlob(types.OCIConfigJSON, cfg)
	if err != nil {
		return nil, err
	}
	if m.Config, err = descriptor(config.MediaType, config.Digest, int64(len(config.Bytes))); err != nil {
		return nil, err
	}
	manifest, err := newBlob(types.OCIManifestSchema1, m)
	if err != nil {
		return nil, err
	}
	return &Image{Config: config, Manifest: manifest, Layers: layers, Platform: s.Platform}, nil
}

// Descriptor of the image's manifest, with its platform, for an index.
func (m *Image) Descriptor() (v1.Descriptor, error) {
	d, err := descriptor(m.Manifest.MediaType, m.Manifest.Digest, int64(len(m.Manifest.Bytes)))
	d.Platform = &v1.Platform{OS: m.Platform.OS, Architecture: m.Platform.Architecture, Variant: m.Platform.Variant}
	return d, err
}

// Index makes the index of one variant over its architectures, in the order
// given.
func Index(images []*Image, annotations map[string]string) (Blob, error) {
	idx := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Annotations: annotations, Manifests: []v1.Descriptor{}}
	for _, m := range images {
		d, err := m.Descriptor()
		if err != nil {
			return Blob{}, err
		}
		idx.Manifests = append(idx.Manifests, d)
	}
	return newBlob(types.OCIImageIndex, idx)
}

func descriptor(mediaType, digest string, size int64) (v1.Descriptor, error) {
	h, err := v1.NewHash(digest)
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("describe %s: %w", mediaType, err)
	}
	return v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: h, Size: size}, nil
}

// environment lists variables as the configuration has them, PATH first and
// the rest sorted.
func environment(env map[string]string) []string {
	var out []string
	for _, k := range slices.SortedFunc(maps.Keys(env), func(a, b string) int {
		if (a == "PATH") != (b == "PATH") {
			if a == "PATH" {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	}) {
		out = append(out, k+"="+env[k])
	}
	return out
}
