package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// ErrDigest says that a registry sent something else than what it was asked
// for by its digest.
var ErrDigest = errors.New("the registry sent other bytes than the digest stands for")

// ReadOptions are how images are read. The zero value reads anonymously.
type ReadOptions struct {
	Keychain authn.Keychain
	// Insecure allows plain http to any registry, not to this machine alone.
	Insecure bool
	// Transport carries requests; nil is the usual one.
	Transport http.RoundTripper
}

// Remote is what a reference names, with the repository that it is in. It reads
// blob by blob as it is asked, and keeps nothing.
type Remote struct {
	ref     name.Reference
	text    string
	puller  *remote.Puller
	options []remote.Option
}

// IsReference reports whether a text can name an image in a registry: with the
// registry's name in front.
func IsReference(ref string) bool {
	host, _, ok := strings.Cut(ref, "/")
	if !ok || host == "." || host == ".." || strings.HasPrefix(ref, "/") {
		return false
	}
	_, err := name.ParseReference(ref)
	return err == nil && (strings.ContainsAny(host, ".:") || host == "localhost")
}

// Open reads nothing yet; the registry is asked by the methods.
func Open(ref string, o ReadOptions) (*Remote, error) {
	var options []name.Option
	if o.Insecure {
		options = append(options, name.Insecure)
	}
	at, err := name.ParseReference(ref, options...)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", ref, err)
	}
	img := &Remote{ref: at, text: ref}
	if o.Keychain != nil {
		img.options = append(img.options, remote.WithAuthFromKeychain(o.Keychain))
	}
	if o.Transport != nil {
		img.options = append(img.options, remote.WithTransport(o.Transport))
	}
	if img.puller, err = remote.NewPuller(img.options...); err != nil {
		return nil, fmt.Errorf("open %s: %w", ref, err)
	}
	return img, nil
}

// Name is the reference as the user wrote it.
func (r *Remote) Name() string { return r.text }

// Resolve asks the registry what the reference names.
func (r *Remote) Resolve(ctx context.Context) (v1.Descriptor, error) {
	d, err := r.puller.Get(ctx, r.ref)
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("open %s: %w", r.text, err)
	}
	return d.Descriptor, nil
}

// Blob opens a blob, or a manifest.
func (r *Remote) Blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	at := r.ref.Context().Digest(d.Digest.String())
	if !d.MediaType.IsImage() && !d.MediaType.IsIndex() {
		l, err := r.puller.Layer(ctx, at)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", at, err)
		}
		z, err := l.Compressed()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", at, err)
		}
		return z, nil
	}
	m, err := r.puller.Get(ctx, at)
	if err != nil {
		if strings.Contains(err.Error(), "does not match requested digest") { // the library has no type for it
			err = fmt.Errorf("%w: %w", ErrDigest, err)
		}
		return nil, fmt.Errorf("read %s: %w", at, err)
	}
	return io.NopCloser(bytes.NewReader(m.Manifest)), nil
}

// Referrers lists the manifests that name a digest as their subject: as the
// registry lists them, or where it does not by the tag that stands for the list.
// A registry that does not tell the type of an artifact is asked for its
// manifest.
func (r *Remote) Referrers(ctx context.Context, h v1.Hash) ([]v1.Descriptor, error) {
	at := r.ref.Context().Digest(h.String())
	idx, err := remote.Referrers(at, append([]remote.Option{remote.WithContext(ctx)}, r.options...)...)
	if err != nil {
		return nil, fmt.Errorf("list attachments of %s: %w", at, err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("list attachments of %s: %w", at, err)
	}
	for i := range m.Manifests {
		d := &m.Manifests[i]
		if d.ArtifactType != "" && d.ArtifactType != emptyConfig || !d.MediaType.IsImage() {
			continue
		}
		text, err := r.Blob(ctx, *d)
		if err != nil {
			return nil, fmt.Errorf("list attachments of %s: %w", at, err)
		}
		a, err := v1.ParseManifest(text)
		if err != nil {
			return nil, fmt.Errorf("list attachments of %s: manifest %s: %w", at, d.Digest, err)
		}
		d.ArtifactType, d.Annotations = a.ArtifactType, a.Annotations
	}
	return m.Manifests, nil
}

// emptyConfig is the type of a configuration that says nothing, which some
// registries take for that of the artifact.
const emptyConfig = "application/vnd.oci.empty.v1+json"

// Tag looks up a tag of the image's repository; false where there is none.
func (r *Remote) Tag(ctx context.Context, tag string) (v1.Descriptor, bool, error) {
	d, err := r.puller.Get(ctx, r.ref.Context().Tag(tag))
	var e *transport.Error
	if errors.As(err, &e) && e.StatusCode == http.StatusNotFound {
		return v1.Descriptor{}, false, nil
	}
	if err != nil {
		return v1.Descriptor{}, false, fmt.Errorf("read tag %s: %w", tag, err)
	}
	return d.Descriptor, true, nil
}
