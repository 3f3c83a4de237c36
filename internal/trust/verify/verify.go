// Package verify holds an image against what is attached to it: that it is
// signed with a key, that the signed provenance is about it, that the SBOMs say
// what the layers hold, and that its own lock builds it again. It trusts the key
// and nothing else.
//
// Start with [Image].
package verify

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"distroless/internal/plan/lock"
	"distroless/internal/trust/attach"
	"distroless/internal/trust/inventory"
	"distroless/internal/trust/provenance"
	"distroless/internal/trust/sign"
	"distroless/internal/trust/source"
)

// Kind is why an image does not pass.
type Kind int

// The kinds of faults.
const (
	NotSigned       Kind = iota + 1 // nothing signed is there
	WrongSigner                     // what is signed was signed with other keys
	Altered                         // something is not what was signed
	NotReproducible                 // the image's own lock gives another image
)

// Fault is what makes an image fail.
type Fault struct {
	Kind Kind
	// What was found at fault: "layer", "config", "manifest", "index",
	// "signature", "provenance", "sbom", "lock", "rebuild".
	What string
	Err  error
}

func (f *Fault) Error() string { return f.Err.Error() }

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Err }

func fault(k Kind, what, format string, args ...any) error {
	return &Fault{k, what, fmt.Errorf(format, args...)}
}

// Check is one thing that holds.
type Check struct {
	What string `json:"what"` // "signature", "provenance", "sbom", "contents", "lock", "rebuild"
	Text string `json:"text"`
}

// Options say what is verified.
type Options struct {
	Key *sign.Public
	// SignatureOnly leaves out what is attached besides the signature.
	SignatureOnly bool
	// Rebuild builds an image again from the lock attached to it and compares
	// the two; nil leaves that out. It returns what to say where they are the same.
	Rebuild func(ctx context.Context, subject v1.Descriptor, r *provenance.Recipe, l *lock.Lock) (string, error)
	// Tell is called with each thing that holds, as it is found.
	Tell func(Check)
}

// verifier is one run.
type verifier struct {
	Options
	src    source.Source
	reader inventory.Reader

	mu       sync.Mutex
	attached map[v1.Hash][]v1.Descriptor // what refers to a digest, as it was first listed
}

// referrers asks the source once for what refers to a digest.
func (v *verifier) referrers(ctx context.Context, h v1.Hash) ([]v1.Descriptor, error) {
	v.mu.Lock()
	list, ok := v.attached[h]
	v.mu.Unlock()
	if ok {
		return list, nil
	}
	list, err := v.src.Referrers(ctx, h)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.attached == nil {
		v.attached = map[v1.Hash][]v1.Descriptor{}
	}
	v.attached[h] = list
	return list, nil
}

// Image verifies what a source's reference names. A [*Fault] says what is
// wrong; any other error that it could not be found out.
func Image(ctx context.Context, src source.Source, o Options) error {
	v := &verifier{Options: o, src: src, reader: inventory.Reader{NoSHA1: true}}
	if v.Tell == nil {
		v.Tell = func(Check) {}
	}
	d, err := src.Resolve(ctx)
	if err != nil {
		return err
	}
	if err := v.image(ctx, d); err != nil {
		var f *Fault
		var m *inventory.Mismatch
		if !errors.As(err, &f) && errors.As(err, &m) {
			return &Fault{Altered, m.Kind, err}
		}
		return err
	}
	return nil
}

func (v *verifier) tell(what, format string, args ...any) {
	v.Tell(Check{what, fmt.Sprintf(format, args...)})
}

func (v *verifier) image(ctx context.Context, d v1.Descriptor) error {
	if _, err := source.Document(ctx, v.src, d); err != nil {
		return err
	}
	if err := v.signature(ctx, d); err != nil {
		return err
	}
	images, err := source.Images(ctx, v.src, d)
	if err != nil {
		return err
	}
	// What is said of the images is fetched and its signatures are checked while
	// the layers are read; the two are held against each other after that.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	subjects := v.subjects(d, images)
	said := make([]claims, len(subjects))
	var waiting errgroup.Group
	for i, s := range subjects {
		waiting.Go(func() error {
			said[i].claimed, said[i].err = v.claimed(ctx, s.descriptor, s.index)
			return nil
		})
	}
	members, err := v.contents(ctx, images)
	if err != nil {
		cancel()
		waiting.Wait() // it has no error of its own
		return err
	}
	waiting.Wait()
	for i, s := range subjects {
		if said[i].err != nil {
			return said[i].err
		}
		if err := v.attested(ctx, s.descriptor, said[i].claimed, members[s.first:s.end], s.index); err != nil {
			return err
		}
	}
	return nil
}

// subject is what something is said of: the index, or one of the images.
type subject struct {
	descriptor v1.Descriptor
	index      bool
	first, end int // the images that it is or holds
}

// claims are what is said of a subject, or why that could not be found out.
type claims struct {
	claimed *claimed
	err     error
}

// subjects lists what there are claims of. An index names its images by digest;
// what is said of each is signed for itself.
func (v *verifier) subjects(d v1.Descriptor, images []inventory.Image) []subject {
	if v.SignatureOnly {
		return nil
	}
	var out []subject
	if d.MediaType.IsIndex() {
		out = append(out, subject{d, true, 0, len(images)})
	}
	for i, img := range images {
		out = append(out, subject{img.Descriptor, false, i, i + 1})
	}
	return out
}

// contents reads the images' layers.
func (v *verifier) contents(ctx context.Context, images []inventory.Image) ([]*inventory.Inventory, error) {
	members := make([]*inventory.Inventory, len(images))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for i, img := range images {
		g.Go(func() (err error) {
			members[i], err = v.reader.Read(gctx, img)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	files := 0
	for _, m := range members {
		if err := checkSums(m); err != nil {
			return nil, err
		}
		files += len(m.Files)
	}
	v.tell("contents", "%d images, every layer is the one that the manifest and the config name, %d paths", len(members), files)
	return members, nil
}

// checkSums holds the files against the lists of the packages in the image.
func checkSums(m *inventory.Inventory) error {
	for i := range m.Packages {
		p := &m.Packages[i]
		for _, path := range slices.Sorted(maps.Keys(p.Sums)) {
			f := m.File(path)
			if f == nil {
				continue // sliced away, by an image of another maker
			}
			if f.Kind == inventory.Regular && f.Owner == p.Name && f.MD5 != p.Sums[path] {
				return fault(Altered, "contents", "image %s: %s is not the file that package %s lists: md5 %s, the list says %s", m.Digest, path, p.Name, f.MD5, p.Sums[path])
			}
		}
	}
	return nil
}

// signature looks for a signature of a digest that the key has made.
func (v *verifier) signature(ctx context.Context, d v1.Descriptor) error {
	var found faults
	var forms []string
	bundles, err := v.bundles(ctx, d, sign.SignatureType)
	if err != nil {
		return err
	}
	for _, b := range bundles {
		if _, err := v.open(ctx, b, d); err != nil {
			found = append(found, err)
			continue
		}
		forms = append(forms, "bundle")
	}
	old, err := v.tagged(ctx, d, "sig", func(p part) error {
		sig, err := base64.StdEncoding.DecodeString(p.annotations[attach.SignatureAnnotation])
		if err != nil {
			return fault(Altered, "signature", "signature under the tag %s: %w", attach.Tag(d.Digest, "sig"), err)
		}
		digest, err := v.Key.OpenSimple(ctx, p.data, sig)
		if err != nil {
			return fault(WrongSigner, "signature", "signature under the tag %s: %w", attach.Tag(d.Digest, "sig"), err)
		}
		if digest != d.Digest.String() {
			return fault(Altered, "signature", "signature under the tag %s: it is for %s", attach.Tag(d.Digest, "sig"), digest)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, err := range old {
		if err != nil {
			found = append(found, err)
			continue
		}
		forms = append(forms, "tag")
	}
	if len(forms) > 0 {
		slices.Sort(forms)
		v.tell("signature", "%s is signed with the key (%s)", d.Digest, strings.Join(slices.Compact(forms), ", "))
		return nil
	}
	if err := found.worst(); err != nil {
		return err
	}
	return fault(NotSigned, "signature", "%s %s: no signature is there", v.src.Name(), d.Digest)
}

// faults are the reasons why none of several signatures counts.
type faults []error

// worst is the gravest: an altered signature before one of somebody else.
func (f faults) worst() error {
	for _, k := range []Kind{Altered, WrongSigner} {
		for _, err := range f {
			var fault *Fault
			if errors.As(err, &fault) && fault.Kind == k {
				return err
			}
		}
	}
	return errors.Join(f...)
}

// bundle is one bundle or envelope about an image.
type bundle struct {
	predicateType string
	mediaType     string
	data          []byte
	where         string
}

// bundles lists the bundles of a kind that are attached to a digest. Whether
// they may be believed is for open.
func (v *verifier) bundles(ctx context.Context, d v1.Descriptor, predicateType string) ([]bundle, error) {
	list, err := v.referrers(ctx, d.Digest)
	if err != nil {
		return nil, err
	}
	var out []bundle
	for _, r := range list {
		if r.ArtifactType != sign.BundleType {
			continue
		}
		// What the list says is no more than a hint: one that lies hides a
		// signature, and makes none.
		if said := r.Annotations[attach.BundlePredicateAnnotation]; said != "" && said != predicateType {
			continue
		}
		data, _, err := v.document(ctx, r)
		if err != nil {
			return nil, signatureFault(err)
		}
		b := bundle{mediaType: sign.BundleType, data: data, where: "bundle " + r.Digest.String()}
		text, err := sign.Unverified(b.mediaType, data)
		if err != nil {
			return nil, fault(Altered, "signature", "%s: %w", b.where, err)
		}
		s, err := provenance.ParseStatement(text)
		if err != nil {
			return nil, fault(Altered, "signature", "%s: %w", b.where, err)
		}
		b.predicateType = s.PredicateType
		if s.PredicateType == predicateType {
			out = append(out, b)
		}
	}
	return out, nil
}

// signatureFault names a blob that is not what its manifest says as part of a
// signature.
func signatureFault(err error) error {
	var m *inventory.Mismatch
	if errors.As(err, &m) {
		return &Fault{Altered, "signature", fmt.Errorf("attached signature: %w", err)}
	}
	return err
}

// open checks a bundle's signature and that it is about the image, and returns
// the statement.
func (v *verifier) open(ctx context.Context, b bundle, d v1.Descriptor) (*provenance.Statement, error) {
	text, err := v.Key.Open(ctx, b.mediaType, b.data)
	if err != nil {
		kind := WrongSigner
		if b.mediaType == sign.BundleType && sign.Hint(b.data) == v.Key.Hint() {
			kind = Altered // it claims to be of this key
		}
		return nil, fault(kind, "signature", "%s: %w", b.where, err)
	}
	s, err := provenance.ParseStatement(text)
	if err != nil {
		return nil, fault(Altered, "signature", "%s: %w", b.where, err)
	}
	if !s.About(d.Digest.String()) {
		return nil, fault(Altered, "signature", "%s: it is about another image, not %s", b.where, d.Digest)
	}
	return s, nil
}

// part is one layer of a manifest under a tag.
type part struct {
	mediaType   string
	data        []byte
	annotations map[string]string
}

// tagged calls f with the layers of what lies under an image's tag of a kind,
// and returns what f said of each.
func (v *verifier) tagged(ctx context.Context, d v1.Descriptor, kind string, f func(part) error) ([]error, error) {
	at, ok, err := v.src.Tag(ctx, attach.Tag(d.Digest, kind))
	if err != nil || !ok {
		return nil, err
	}
	data, err := source.Document(ctx, v.src, at)
	if err != nil {
		return nil, signatureFault(err)
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fault(Altered, "signature", "tag %s: %w", attach.Tag(d.Digest, kind), err)
	}
	var out []error
	for _, l := range m.Layers {
		data, err := source.Document(ctx, v.src, l)
		if err != nil {
			return nil, signatureFault(err)
		}
		out = append(out, f(part{string(l.MediaType), data, l.Annotations}))
	}
	return out, nil
}

// document reads the one document of an attachment, with its media type.
func (v *verifier) document(ctx context.Context, d v1.Descriptor) ([]byte, string, error) {
	data, err := source.Document(ctx, v.src, d)
	if err != nil {
		return nil, "", err
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, "", fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if len(m.Layers) != 1 {
		return nil, "", fault(Altered, "manifest", "attachment %s: %d layers, expected one", d.Digest, len(m.Layers))
	}
	data, err = source.Document(ctx, v.src, m.Layers[0])
	return data, string(m.Layers[0].MediaType), err
}
