// Package attach makes the manifests that what is said of an image is attached
// to it by: SBOMs, provenance, the lock, signatures. Each names the image as
// its subject, as the OCI image specification 1.1 has it; signatures stand under
// a tag too, where older tools look for them.
//
// Start with [Make], then [ToLayout], or hand what it gives to a push.
package attach

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"distroless/internal/oci/layout"
	"distroless/internal/oci/registry"
	"distroless/internal/plan/lock"
	"distroless/internal/trust/inventory"
	"distroless/internal/trust/provenance"
	"distroless/internal/trust/sbom"
	"distroless/internal/trust/sign"
)

const (
	emptyType = "application/vnd.oci.empty.v1+json"
	refName   = "org.opencontainers.image.ref.name"
	// PredicateAnnotation names the kind of statement in an older attestation.
	PredicateAnnotation = "predicateType"
	// BundlePredicateAnnotation does on a manifest that holds a bundle.
	BundlePredicateAnnotation = "dev.sigstore.bundle.predicateType"
	bundleContentAnnotation   = "dev.sigstore.bundle.content"
)

// Input is what there is to say of one image or index.
type Input struct {
	Subject v1.Descriptor
	Name    string // "base-debian13"
	// SBOM describes it.
	SBOM *sbom.Document
	// Recipe and Lock say how it is built again; without them there is no
	// provenance.
	Recipe *provenance.Recipe
	Lock   *lock.Lock // the recipe's
	Distro string     // as purls have it: "debian-13"
	// Version is the program's; Builder who ran it, a URI.
	Version, Builder string
	// Signer signs; nil attaches what there is without signatures.
	Signer sign.Signer
	// Tags says that signatures go under tags too, where the signer has a form
	// for it: sha256-<hex>.sig and .att.
	Tags bool
}

// statement is a statement with its kind.
type statement struct {
	predicateType string
	text          []byte
}

// atOnce is how many images are signed at a time. Services that sign answer
// slowly, and take many requests together.
const atOnce = 8

// MakeAll makes the attachments of several images, in their order. What is to be
// signed is made one image after the other, while others are signed.
func MakeAll(ctx context.Context, in []Input) ([][]registry.Attachment, error) {
	out := make([][]registry.Attachment, len(in))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range in {
		unsigned, statements, err := prepare(&in[i])
		if err != nil {
			return nil, errors.Join(err, g.Wait())
		}
		g.Go(func() (err error) {
			out[i], err = finish(ctx, &in[i], unsigned, statements)
			return err
		})
	}
	return out, g.Wait()
}

// Make makes an image's attachments. The same input gives the same bytes, if the
// signer gives the same signatures: one with a key does.
func Make(ctx context.Context, in Input) ([]registry.Attachment, error) {
	unsigned, statements, err := prepare(&in)
	if err != nil {
		return nil, err
	}
	return finish(ctx, &in, unsigned, statements)
}

// prepare makes the documents of an image, and the statements to sign.
func prepare(in *Input) ([]registry.Attachment, []statement, error) {
	var out []registry.Attachment
	var statements []statement
	byproducts := map[string]string{}
	if in.SBOM != nil {
		for _, f := range sbom.Formats() {
			data, err := in.SBOM.Encode(f)
			if err != nil {
				return nil, nil, err
			}
			a, digest := describe(in.Subject, f.MediaType(), f.MediaType(), data, nil)
			byproducts[f.MediaType()] = digest.Hex
			out = append(out, a)
			if f != sbom.SPDX || in.Signer == nil {
				continue // one signed statement of the contents is enough; the provenance covers both
			}
			s, err := provenance.NewStatement(in.Name, in.Subject.Digest.String(), f.PredicateType(), json.RawMessage(bytes.TrimSpace(data)))
			if err != nil {
				return nil, nil, err
			}
			if statements, err = appendStatement(statements, s); err != nil {
				return nil, nil, err
			}
		}
	}
	if in.Recipe != nil {
		out = append(out, document(in.Subject, provenance.RecipeType, provenance.RecipeType, in.Recipe.Bytes(), nil))
		s, err := provenance.Build(provenance.Input{
			Name: in.Name, Digest: in.Subject.Digest.String(), Recipe: in.Recipe, Lock: in.Lock,
			Distro: in.Distro, Version: in.Version, Builder: in.Builder, Byproducts: byproducts,
		})
		if err != nil {
			return nil, nil, err
		}
		if statements, err = appendStatement(statements, s); err != nil {
			return nil, nil, err
		}
	}
	return out, statements, nil
}

// finish signs what prepare has made, or attaches the provenance as it is.
func finish(ctx context.Context, in *Input, out []registry.Attachment, statements []statement) ([]registry.Attachment, error) {
	if in.Signer == nil {
		for _, s := range statements {
			if s.predicateType == provenance.PredicateType {
				out = append(out, document(in.Subject, provenance.PayloadType, provenance.PayloadType, s.text, nil))
			}
		}
		return out, nil
	}
	signed, err := signatures(ctx, in, statements)
	return append(out, signed...), err
}

func appendStatement(list []statement, s *provenance.Statement) ([]statement, error) {
	text, err := s.Bytes()
	return append(list, statement{s.PredicateType, text}), err
}

// signatures are the signed statements and the signature of the image itself.
func signatures(ctx context.Context, in *Input, statements []statement) ([]registry.Attachment, error) {
	s, err := provenance.NewStatement("", in.Subject.Digest.String(), sign.SignatureType, json.RawMessage("{}"))
	if err != nil {
		return nil, err
	}
	text, err := s.Bytes()
	if err != nil {
		return nil, err
	}
	statements = append([]statement{{sign.SignatureType, text}}, statements...)
	signed, simple, err := signAll(ctx, in, statements)
	if err != nil {
		return nil, err
	}
	var out []registry.Attachment
	for i, s := range statements {
		data, err := signed[i].JSON()
		if err != nil {
			return nil, err
		}
		out = append(out, document(in.Subject, sign.BundleType, sign.BundleType, data, map[string]string{
			bundleContentAnnotation: "dsse-envelope", BundlePredicateAnnotation: s.predicateType,
		}))
	}
	if simple == nil {
		return out, nil
	}
	old, err := older(in, statements[1:], signed[1:], simple)
	return append(out, old...), err
}

// signAll signs the statements, and with Tags the payload of an older signature;
// that is nil where the signer has none.
func signAll(ctx context.Context, in *Input, statements []statement) (signed []*sign.Signed, simple *sign.Signed, err error) {
	signed = make([]*sign.Signed, len(statements))
	g, ctx := errgroup.WithContext(ctx)
	for i, s := range statements {
		g.Go(func() (err error) {
			signed[i], err = in.Signer.Statement(ctx, s.text)
			return err
		})
	}
	if in.Tags && in.Signer.HasOlder() {
		g.Go(func() error {
			payload, err := sign.Simple(in.Name, in.Subject.Digest.String())
			if err == nil {
				simple, err = in.Signer.Payload(ctx, payload)
			}
			return err
		})
	}
	return signed, simple, g.Wait()
}

// older are the signature and the statements under tags.
func older(in *Input, statements []statement, signed []*sign.Signed, simple *sign.Signed) ([]registry.Attachment, error) {
	data, annotations, err := simple.Older()
	if err != nil {
		return nil, err
	}
	out := []registry.Attachment{tagged(Tag(in.Subject.Digest, "sig"), []part{{sign.SimpleType, data, annotations}})}
	var parts []part
	for i, s := range statements {
		data, annotations, err := signed[i].Older()
		if err != nil {
			return nil, err
		}
		annotations[PredicateAnnotation] = s.predicateType
		parts = append(parts, part{sign.EnvelopeType, data, annotations})
	}
	if len(parts) > 0 {
		out = append(out, tagged(Tag(in.Subject.Digest, "att"), parts))
	}
	return out, nil
}

// Tag is the tag that older tools look for signatures ("sig") and attestations
// ("att") of an image under: "sha256-<hex>.sig".
func Tag(h v1.Hash, kind string) string { return h.Algorithm + "-" + h.Hex + "." + kind }

// document makes an attachment with one document.
func document(subject v1.Descriptor, artifactType, mediaType string, data []byte, annotations map[string]string) registry.Attachment {
	a, _ := describe(subject, artifactType, mediaType, data, annotations)
	return a
}

// describe is document, and the document's digest.
func describe(subject v1.Descriptor, artifactType, mediaType string, data []byte, annotations map[string]string) (registry.Attachment, v1.Hash) {
	empty := []byte("{}")
	config, layer := descriptor(emptyType, empty), descriptor(mediaType, data)
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: artifactType,
		Config: config, Layers: []v1.Descriptor{layer}, Annotations: annotations,
		Subject: &v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
	}
	return registry.Attachment{Manifest: marshal(m), Blobs: map[string][]byte{config.Digest.String(): empty, layer.Digest.String(): data}}, layer.Digest
}

// part is one layer of a manifest under a tag.
type part struct {
	mediaType   string
	data        []byte
	annotations map[string]string
}

// tagged makes a manifest as older tools expect it: an image whose layers are
// signatures.
func tagged(tag string, parts []part) registry.Attachment {
	cfg := v1.ConfigFile{RootFS: v1.RootFS{Type: "layers"}}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	a := registry.Attachment{Blobs: map[string][]byte{}, Tag: tag}
	for _, p := range parts {
		d := descriptor(p.mediaType, p.data)
		a.Blobs[d.Digest.String()] = p.data
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, d.Digest)
		d.Annotations = p.annotations
		m.Layers = append(m.Layers, d)
	}
	config := marshal(cfg)
	m.Config = descriptor(string(types.OCIConfigJSON), config)
	a.Blobs[m.Config.Digest.String()] = config
	a.Manifest = marshal(m)
	return a
}

func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("marshal attachment: %v", err)) // documents of strings and numbers: cannot happen
	}
	return data
}

func descriptor(mediaType string, data []byte) v1.Descriptor {
	sum := sha256.Sum256(data)
	return v1.Descriptor{MediaType: types.MediaType(mediaType), Size: int64(len(data)), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
}

// ToLayout writes attachments into a layout that is a folder. Those of the
// same subjects and kinds that are there, but for signed ones, are replaced.
func ToLayout(dir string, subjects []v1.Hash, attachments []registry.Attachment) error {
	l, err := layout.Open(dir)
	if err != nil {
		return err
	}
	var entries []layout.Entry
	kinds := map[string]bool{}
	for _, a := range attachments {
		d := descriptor(string(types.OCIManifestSchema1), a.Manifest)
		var m v1.Manifest
		if err := json.Unmarshal(a.Manifest, &m); err != nil {
			return fmt.Errorf("attach to %s: %w", dir, err)
		}
		d.ArtifactType = m.ArtifactType
		kinds[m.ArtifactType] = true
		if a.Tag != "" {
			d.Annotations = map[string]string{refName: a.Tag}
		}
		blobs := maps.Clone(a.Blobs)
		blobs[d.Digest.String()] = a.Manifest
		entries = append(entries, layout.Entry{Descriptor: d, Blobs: blobs})
	}
	return layout.Add(dir, entries, func(d v1.Descriptor) bool { return kinds[d.ArtifactType] && replaced(l, d, subjects) })
}

// replaced reports whether an entry of a layout is an unsigned document about
// one of the subjects.
func replaced(l *layout.Layout, d v1.Descriptor, subjects []v1.Hash) bool {
	if d.Annotations[refName] != "" || d.ArtifactType == "" || strings.HasPrefix(d.ArtifactType, "application/vnd.dev.sigstore.bundle") {
		return false
	}
	data, err := l.Document(d)
	if err != nil {
		return false
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	return err == nil && m.Subject != nil && slices.Contains(subjects, m.Subject.Digest) && ours(m.ArtifactType)
}

// ours reports whether an artifact is of a kind that [Make] attaches unsigned.
func ours(artifactType string) bool {
	switch artifactType {
	case sbom.SPDX.MediaType(), sbom.CycloneDX.MediaType(), provenance.RecipeType, provenance.PayloadType:
		return true
	}
	return false
}

// SamePackages compares a lock's packages with those of an image.
func SamePackages(l *lock.Lock, k lock.Key, variant string, m *inventory.Inventory) error {
	packages, err := provenance.Packages(l, k, strings.HasPrefix(variant, "debug"))
	if err != nil {
		return err
	}
	var want, got []string
	for _, p := range packages {
		want = append(want, p.Name+" "+p.Version+" "+p.Arch)
	}
	for _, p := range m.Packages {
		got = append(got, p.Name+" "+p.Version+" "+p.Arch)
	}
	slices.Sort(want)
	slices.Sort(got)
	for _, w := range want {
		if !slices.Contains(got, w) {
			return fmt.Errorf("the lock has %s, the image has not", w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			return fmt.Errorf("the image has %s, the lock has not", g)
		}
	}
	return nil
}
