package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"distroless/internal/plan/lock"
	"distroless/internal/trust/attach"
	"distroless/internal/trust/inventory"
	"distroless/internal/trust/provenance"
	"distroless/internal/trust/sbom"
)

// claimed is what is said of one image or index: all of it signed, or covered by
// a signature.
type claimed struct {
	provenance *provenance.Predicate
	attached   map[string][][]byte
	bills      map[sbom.Format]bill
}

// bill is an SBOM, or what is wrong with it.
type bill struct {
	document
	err error
}

// claimed fetches what is said of one image or index, checks the signatures, and
// reads the SBOMs.
func (v *verifier) claimed(ctx context.Context, d v1.Descriptor) (*claimed, error) {
	p, err := v.provenance(ctx, d)
	if err != nil {
		return nil, err
	}
	attached, err := v.unsigned(ctx, d)
	if err != nil {
		return nil, err
	}
	c := &claimed{provenance: p, attached: attached, bills: map[sbom.Format]bill{}}
	for _, f := range sbom.Formats() {
		data, err := covered(attached, f.MediaType(), "sbom", byproduct(p, f.MediaType()), d)
		if err != nil {
			c.bills[f] = bill{err: err}
			continue
		}
		doc, err := read(f, data)
		if err != nil {
			err = fault(Altered, "sbom", "%s document of %s: %w", f, d.Digest, err)
		}
		c.bills[f] = bill{doc, err}
	}
	return c, nil
}

// attested holds what is said of one image or index against what it is.
func (v *verifier) attested(ctx context.Context, d v1.Descriptor, c *claimed, members []*inventory.Inventory, index bool) error {
	p := c.provenance
	debs := 0
	for _, r := range p.BuildDefinition.ResolvedDependencies {
		if r.Annotations["package"] != "" {
			debs++
		}
	}
	v.tell("provenance", "%s: built by %s %s from %d packages", d.Digest, p.RunDetails.Builder.ID, p.RunDetails.Builder.Version["distroless"], debs)
	formats := sbom.Formats()
	errs := make([]error, len(formats))
	var g sync.WaitGroup
	for i, f := range formats {
		g.Go(func() { errs[i] = c.bills[f].compare(f, d, members, index) })
	}
	g.Wait()
	for i, f := range formats {
		if errs[i] != nil {
			return errs[i]
		}
		if !index {
			v.tell("sbom", "%s: %s lists the %d packages and every file of the layers, with its digest", d.Digest, f, len(members[0].Packages))
		} else {
			v.tell("sbom", "%s: %s lists the images and their packages", d.Digest, f)
		}
	}
	return v.lock(ctx, d, p, c.attached, members, index)
}

// compare holds an SBOM against what the image or index is.
func (b bill) compare(f sbom.Format, d v1.Descriptor, members []*inventory.Inventory, index bool) error {
	err := b.err
	if err != nil {
		return err
	}
	if index {
		err = compareIndex(b.document, members)
	} else {
		err = compareImage(b.document, members[0])
	}
	if err != nil {
		return fault(Altered, "sbom", "%s document of %s: %w", f, d.Digest, err)
	}
	return nil
}

// provenance finds the signed provenance of a digest.
func (v *verifier) provenance(ctx context.Context, d v1.Descriptor) (*provenance.Predicate, error) {
	var found faults
	var good *provenance.Statement
	err := v.forms(ctx, d, provenance.PredicateType, "att", func(c candidate) bool {
		s, _, err := v.statement(ctx, c, d)
		if err != nil {
			found = append(found, err)
			return false
		}
		good = s
		return true
	})
	if err != nil {
		return nil, err
	}
	if good == nil {
		if err := found.worst(); err != nil {
			var f *Fault
			if errors.As(err, &f) {
				f.What = "provenance"
			}
			return nil, err
		}
		return nil, fault(NotSigned, "provenance", "%s %s: no signed provenance is there; --signature-only does without", v.src.Name(), d.Digest)
	}
	p, err := good.Provenance()
	if err != nil {
		return nil, fault(Altered, "provenance", "%s: %w", d.Digest, err)
	}
	return p, nil
}

// unsigned reads the documents attached to a digest that stand on their own,
// by their media type. Several of one kind may be there: somebody else's too.
func (v *verifier) unsigned(ctx context.Context, d v1.Descriptor) (map[string][][]byte, error) {
	list, err := v.documents.referrers(ctx, v.src, d.Digest)
	if err != nil {
		return nil, err
	}
	out := map[string][][]byte{}
	for _, r := range list {
		what := map[string]string{sbom.SPDX.MediaType(): "sbom", sbom.CycloneDX.MediaType(): "sbom", provenance.RecipeType: "lock"}[r.ArtifactType]
		if what == "" {
			continue
		}
		data, err := v.document(ctx, r)
		if err != nil {
			var m *inventory.Mismatch
			if errors.As(err, &m) {
				err = &Fault{Altered, what, fmt.Errorf("%s attached to %s: %w", what, d.Digest, err)}
			}
			return nil, err
		}
		out[r.ArtifactType] = append(out[r.ArtifactType], data)
	}
	return out, nil
}

// byproduct is the digest that the provenance has for a document, hex.
func byproduct(p *provenance.Predicate, mediaType string) string {
	for _, b := range p.RunDetails.Byproducts {
		if b.Name == mediaType {
			return b.Digest["sha256"]
		}
	}
	return ""
}

// covered returns the attached document that the signed provenance names.
func covered(attached map[string][][]byte, mediaType, what, want string, d v1.Descriptor) ([]byte, error) {
	if want == "" {
		return nil, fault(Altered, what, "%s: the provenance names no document of type %s", d.Digest, mediaType)
	}
	for _, data := range attached[mediaType] {
		sum := sha256.Sum256(data)
		if hex.EncodeToString(sum[:]) == want {
			return data, nil
		}
	}
	if len(attached[mediaType]) == 0 {
		return nil, fault(Altered, what, "%s: the provenance names a document of type %s, sha256 %s, and none is attached", d.Digest, mediaType, want)
	}
	return nil, fault(Altered, what, "%s: the attached document of type %s is not the one that the signed provenance names, sha256 %s", d.Digest, mediaType, want)
}

// lock checks the lock attached to an image: that the provenance is about it,
// and that its packages are those in the image.
func (v *verifier) lock(ctx context.Context, d v1.Descriptor, p *provenance.Predicate, attached map[string][][]byte, members []*inventory.Inventory, index bool) error {
	want := ""
	for _, r := range p.BuildDefinition.ResolvedDependencies {
		if r.Name == "lock" {
			want = r.Digest["sha256"]
		}
	}
	data, err := covered(attached, provenance.RecipeType, "lock", want, d)
	if err != nil {
		return err
	}
	r, l, err := provenance.ParseRecipe(data)
	if err != nil {
		return fault(Altered, "lock", "%s: %w", d.Digest, err)
	}
	if len(r.Archs) != len(members) {
		return fault(Altered, "lock", "%s: the lock is for %v, and there are %d images", d.Digest, r.Archs, len(members))
	}
	for i, m := range members {
		if err := attach.SamePackages(l, lock.Key{Image: r.Image, Distro: r.Distro, Arch: r.Archs[i]}, r.Variant, m); err != nil {
			return fault(Altered, "lock", "%s: %w", m.Digest, err)
		}
	}
	v.tell("lock", "%s: the attached lock has the packages of the image", d.Digest)
	if v.Rebuild == nil || index {
		return nil // the members are built again one by one
	}
	text, err := v.Rebuild(ctx, d, r, l)
	if err != nil {
		return err
	}
	v.tell("rebuild", "%s: %s", d.Digest, text)
	return nil
}
