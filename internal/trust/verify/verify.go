// Package verify holds an image against what is attached to it: that it is
// signed by whom its caller trusts, that the signed provenance is about it, that
// the SBOMs say what the layers hold, and that its own lock builds it again. Whose
// signatures count a [sign.Verifier] says, for all of it; nothing else is trusted.
//
// Start with [Image].
package verify

import (
	"bytes"
	"cmp"
	"context"
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
	WrongSigner                     // what is signed was signed by others, or nothing proves by whom
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
	// By says whose signatures count.
	By sign.Verifier
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
	src       source.Source
	reader    inventory.Reader
	documents documents
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
	// Nothing waits for anything that it does not need: the layers are read and what
	// is said of them is fetched while the signature is looked for. It comes first
	// all the same: without it nothing else is told, and all else is given up.
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	var unsigned error
	signature := make(chan struct{})
	all.Go(func() {
		defer close(signature)
		if unsigned = v.signature(ctx, d); unsigned != nil {
			cancel()
		}
	})
	images, err := source.Images(ctx, v.src, d)
	if err != nil {
		<-signature
		return cmp.Or(unsigned, err)
	}
	subjects := v.subjects(d, images)
	said := make([]claims, len(subjects))
	var claiming sync.WaitGroup
	for i, s := range subjects {
		claiming.Go(func() { said[i].claimed, said[i].err = v.claimed(ctx, s.descriptor) })
	}
	all.Go(claiming.Wait)
	contents, err := v.contents(ctx, images)
	if <-signature; unsigned != nil || err != nil {
		return cmp.Or(unsigned, err)
	}
	files := 0
	for _, m := range contents {
		files += len(m.Files)
	}
	v.tell("contents", "%d images, every layer is the one that the manifest and the config name, %d paths", len(contents), files)
	claiming.Wait()
	for i, s := range subjects {
		if said[i].err != nil {
			return said[i].err
		}
		if err := v.attested(ctx, s.descriptor, said[i].claimed, contents[s.first:s.end], s.index); err != nil {
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
	for _, m := range members {
		// Against a signer too: an SBOM says what they found in the image, the
		// lists what its packages hold.
		if err := checkSums(m); err != nil {
			return nil, err
		}
	}
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

// signature looks for a signature of a digest that counts.
func (v *verifier) signature(ctx context.Context, d v1.Descriptor) error {
	var found faults
	var signers, forms []string
	err := v.forms(ctx, d, sign.SignatureType, "sig", func(c candidate) bool {
		by, err := v.signs(ctx, c, d)
		if err != nil {
			found = append(found, err)
			return false
		}
		signers, forms = append(signers, by), append(forms, c.form)
		return true
	})
	if err != nil {
		return err
	}
	if len(forms) > 0 {
		v.tell("signature", "%s is signed %s (%s)", d.Digest, distinct(signers, ", and "), distinct(forms, ", "))
		return nil
	}
	if err := found.worst(); err != nil {
		return err
	}
	return fault(NotSigned, "signature", "%s %s: no signature is there", v.src.Name(), d.Digest)
}

func distinct(list []string, separator string) string {
	slices.Sort(list)
	return strings.Join(slices.Compact(list), separator)
}

// signs checks that a candidate signs an image, and returns who has signed it.
func (v *verifier) signs(ctx context.Context, c candidate, d v1.Descriptor) (by string, err error) {
	if c.mediaType != sign.SimpleType {
		_, by, err = v.statement(ctx, c, d)
		return by, err
	}
	if by, err = v.check(ctx, c); err != nil {
		return "", err
	}
	digest, err := sign.SimpleDigest(c.signed.Payload)
	if err != nil {
		return "", fault(Altered, "signature", "%s: %w", c.where, err)
	}
	if digest != d.Digest.String() {
		return "", fault(Altered, "signature", "%s: it is for %s", c.where, digest)
	}
	return by, nil
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

// candidate is something signed that lies beside an image. Whether it may be
// believed is for check.
type candidate struct {
	signed    *sign.Signed
	mediaType string
	form      string // "bundle" or "tag"
	where     string
	err       error // it cannot be read; another one may do
}

// forms calls counts for what is signed of a digest: for all bundles, and if none
// counts for what lies under the tag of a kind. Whoever signs in both forms signs
// the same thing twice: once one counts, the other need not be fetched.
func (v *verifier) forms(ctx context.Context, d v1.Descriptor, predicateType, kind string, counts func(candidate) bool) error {
	list, err := v.bundles(ctx, d, predicateType)
	if err != nil {
		return err
	}
	one := false
	for _, c := range list {
		one = counts(c) || one
	}
	if one {
		return nil
	}
	if list, err = v.tagged(ctx, d, kind, predicateType); err != nil {
		return err
	}
	for _, c := range list {
		counts(c)
	}
	return nil
}

// bundles lists the bundles of a kind that are attached to a digest.
func (v *verifier) bundles(ctx context.Context, d v1.Descriptor, predicateType string) ([]candidate, error) {
	list, err := v.documents.referrers(ctx, v.src, d.Digest)
	if err != nil {
		return nil, err
	}
	var out []candidate
	for _, r := range list {
		if r.ArtifactType != sign.BundleType {
			continue
		}
		// What the list says is no more than a hint: one that lies hides a
		// signature, and makes none.
		if said := r.Annotations[attach.BundlePredicateAnnotation]; said != "" && said != predicateType {
			continue
		}
		data, err := v.document(ctx, r)
		if err != nil {
			return nil, signatureFault(err)
		}
		c := newCandidate(sign.BundleType, data, nil, "bundle", "bundle "+r.Digest.String())
		if c.err == nil {
			var s *provenance.Statement
			if s, c.err = provenance.ParseStatement(c.signed.Payload); c.err == nil && s.PredicateType != predicateType {
				continue
			}
		}
		out = append(out, c)
	}
	return out, nil
}

func newCandidate(mediaType string, data []byte, annotations map[string]string, form, where string) candidate {
	c := candidate{mediaType: mediaType, form: form, where: where}
	c.signed, c.err = sign.Read(mediaType, data, annotations)
	return c
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

// check checks that a candidate is signed by somebody who counts, and returns
// who that is.
func (v *verifier) check(ctx context.Context, c candidate) (by string, err error) {
	if c.err != nil {
		return "", fault(Altered, "signature", "%s: %w", c.where, c.err)
	}
	by, err = v.By.Check(ctx, c.signed)
	var refused *sign.Refused
	switch {
	case err == nil:
		return by, nil
	case !errors.As(err, &refused):
		return "", fmt.Errorf("%s: %w", c.where, err)
	case refused.Altered:
		return "", fault(Altered, "signature", "%s: %w", c.where, err)
	}
	return "", fault(WrongSigner, "signature", "%s: %w", c.where, err)
}

// statement checks a signed statement and that it is about the image.
func (v *verifier) statement(ctx context.Context, c candidate, d v1.Descriptor) (s *provenance.Statement, by string, err error) {
	if by, err = v.check(ctx, c); err != nil {
		return nil, "", err
	}
	if s, err = provenance.ParseStatement(c.signed.Payload); err != nil {
		return nil, "", fault(Altered, "signature", "%s: %w", c.where, err)
	}
	if !s.About(d.Digest.String()) {
		return nil, "", fault(Altered, "signature", "%s: it is about another image, not %s", c.where, d.Digest)
	}
	return s, by, nil
}

// tagged lists what lies under an image's tag of a kind: "sig" for payloads,
// "att" for statements of a predicate type.
func (v *verifier) tagged(ctx context.Context, d v1.Descriptor, kind, predicateType string) ([]candidate, error) {
	tag := attach.Tag(d.Digest, kind)
	at, ok, err := v.src.Tag(ctx, tag)
	if err != nil || !ok {
		return nil, err
	}
	data, err := source.Document(ctx, v.src, at)
	if err != nil {
		return nil, signatureFault(err)
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fault(Altered, "signature", "tag %s: %w", tag, err)
	}
	// Under "sig" lie payloads, under "att" envelopes, whatever a layer says.
	mediaType := map[string]string{"sig": sign.SimpleType, "att": sign.EnvelopeType}[kind]
	var out []candidate
	for _, l := range m.Layers {
		if kind == "att" && l.Annotations[attach.PredicateAnnotation] != predicateType {
			continue
		}
		data, err := v.documents.read(ctx, v.src, l)
		if err != nil {
			return nil, signatureFault(err)
		}
		out = append(out, newCandidate(mediaType, data, l.Annotations, "tag", "what lies under the tag "+tag))
	}
	return out, nil
}

// document reads the one document of an attachment.
func (v *verifier) document(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	data, err := source.Document(ctx, v.src, d)
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if len(m.Layers) != 1 {
		return nil, fault(Altered, "manifest", "attachment %s: %d layers, expected one", d.Digest, len(m.Layers))
	}
	return v.documents.read(ctx, v.src, m.Layers[0])
}
