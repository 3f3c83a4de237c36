package verify_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"distroless/internal/oci/image"
	"distroless/internal/trust/attach"
	"distroless/internal/trust/sign"
)

// What follows does to a layout what somebody who can write to a registry can.

const refName = "org.opencontainers.image.ref.name"

func imageList(m *image.Image) []*image.Image { return []*image.Image{m} }

func readIndex(t *testing.T, dir string) v1.IndexManifest {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var idx v1.IndexManifest
	if err := json.Unmarshal(data, &idx); err != nil {
		t.Fatal(err)
	}
	return idx
}

func writeIndex(t *testing.T, dir string, idx v1.IndexManifest) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "index.json"), mustJSON(t, idx), 0o644); err != nil {
		t.Fatal(err)
	}
}

func entry(t *testing.T, dir, tag string) v1.Descriptor {
	t.Helper()
	for _, d := range readIndex(t, dir).Manifests {
		if d.Annotations[refName] == tag {
			return d
		}
	}
	t.Fatalf("no tag %s", tag)
	return v1.Descriptor{}
}

func blobFile(dir string, h v1.Hash) string { return filepath.Join(dir, "blobs", h.Algorithm, h.Hex) }

func readManifest(t *testing.T, dir string, h v1.Hash) v1.Manifest {
	t.Helper()
	data, err := os.ReadFile(blobFile(dir, h))
	if err != nil {
		t.Fatal(err)
	}
	var m v1.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func manifestOf(t *testing.T, dir, tag string) v1.Manifest {
	t.Helper()
	return readManifest(t, dir, entry(t, dir, tag).Digest)
}

// flipBlob changes a bit of a blob.
func flipBlob(t *testing.T, dir string, h v1.Hash) {
	t.Helper()
	data, err := os.ReadFile(blobFile(dir, h))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(blobFile(dir, h), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func putBlob(t *testing.T, dir string, data []byte) v1.Descriptor {
	t.Helper()
	sum := sha256.Sum256(data)
	d := v1.Descriptor{Size: int64(len(data)), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
	if err := os.WriteFile(blobFile(dir, d.Digest), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return d
}

// add puts a manifest into the layout.
func add(t *testing.T, dir string, m v1.Manifest, tag string) {
	t.Helper()
	d := putBlob(t, dir, mustJSON(t, m))
	d.MediaType, d.ArtifactType = types.OCIManifestSchema1, m.ArtifactType
	if tag != "" {
		name(t, dir, tag, d)
		return
	}
	idx := readIndex(t, dir)
	idx.Manifests = append(idx.Manifests, d)
	writeIndex(t, dir, idx)
}

// name gives a manifest a tag, which moves.
func name(t *testing.T, dir, tag string, d v1.Descriptor) {
	t.Helper()
	drop(t, dir, func(d v1.Descriptor) bool { return d.Annotations[refName] == tag })
	d.Annotations = map[string]string{refName: tag}
	idx := readIndex(t, dir)
	idx.Manifests = append(idx.Manifests, d)
	writeIndex(t, dir, idx)
}

func point(t *testing.T, dir, tag string, m v1.Manifest) { add(t, dir, m, tag) }

func drop(t *testing.T, dir string, which func(v1.Descriptor) bool) {
	t.Helper()
	idx := readIndex(t, dir)
	idx.Manifests = slices.DeleteFunc(idx.Manifests, which)
	writeIndex(t, dir, idx)
}

func dropTags(t *testing.T, dir string) {
	drop(t, dir, func(d v1.Descriptor) bool { return strings.HasPrefix(d.Annotations[refName], "sha256-") })
}

func dropBundles(t *testing.T, dir string) {
	drop(t, dir, func(d v1.Descriptor) bool { return d.ArtifactType == sign.BundleType })
}

// find returns the entry of an attachment.
func find(t *testing.T, dir, tag, artifactType, predicateType string) v1.Descriptor {
	t.Helper()
	subject := entry(t, dir, tag).Digest
	for _, d := range readIndex(t, dir).Manifests {
		if d.Annotations[refName] != "" || d.ArtifactType != artifactType {
			continue
		}
		m := readManifest(t, dir, d.Digest)
		if m.Subject != nil && m.Subject.Digest == subject && m.Annotations[attach.BundlePredicateAnnotation] == predicateType {
			return d
		}
	}
	t.Fatalf("%s has no %s %s", tag, artifactType, predicateType)
	return v1.Descriptor{}
}

func attached(t *testing.T, dir, tag, artifactType string) v1.Manifest {
	return readManifest(t, dir, find(t, dir, tag, artifactType, "").Digest)
}

func attachedBundle(t *testing.T, dir, tag, predicateType string) v1.Manifest {
	return readManifest(t, dir, find(t, dir, tag, sign.BundleType, predicateType).Digest)
}

func remove(t *testing.T, dir, tag, artifactType string) {
	at := find(t, dir, tag, artifactType, "")
	drop(t, dir, func(d v1.Descriptor) bool { return d.Digest == at.Digest })
}

func removeBundle(t *testing.T, dir, tag, predicateType string) {
	at := find(t, dir, tag, sign.BundleType, predicateType)
	drop(t, dir, func(d v1.Descriptor) bool { return d.Digest == at.Digest })
}

// replaceDocument puts an altered document, with right digests all the way, in
// the place of another.
func replaceDocument(t *testing.T, dir, tag, artifactType string, change func([]byte) []byte) {
	t.Helper()
	m := attached(t, dir, tag, artifactType)
	remove(t, dir, tag, artifactType)
	replaceLayer(t, dir, m, change)
}

func replaceBundle(t *testing.T, dir, tag, predicateType string, change func(string) string) {
	t.Helper()
	m := attachedBundle(t, dir, tag, predicateType)
	removeBundle(t, dir, tag, predicateType)
	replaceLayer(t, dir, m, func(b []byte) []byte { return []byte(change(string(b))) })
}

func replaceLayer(t *testing.T, dir string, m v1.Manifest, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(blobFile(dir, m.Layers[0].Digest))
	if err != nil {
		t.Fatal(err)
	}
	altered := change(bytes.Clone(data))
	if bytes.Equal(altered, data) {
		t.Fatal("nothing was altered")
	}
	d := putBlob(t, dir, altered)
	d.MediaType = m.Layers[0].MediaType
	m.Layers = []v1.Descriptor{d}
	add(t, dir, m, "")
}
