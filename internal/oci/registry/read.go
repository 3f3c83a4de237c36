package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Remote is what a reference names, with the repository that it is in. It reads
// what it is asked for when it is asked; only manifests are kept, so that none is
// read twice.
type Remote struct {
	ref     name.Reference
	text    string
	session *session

	mu        sync.Mutex
	manifests map[v1.Hash][]byte // by the digest of the bytes
	listless  atomic.Bool        // the registry has no lists of attachments
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
func (c *Client) Open(ref string) (*Remote, error) {
	var options []name.Option
	if c.Insecure {
		options = append(options, name.Insecure)
	}
	at, err := name.ParseReference(ref, options...)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", ref, err)
	}
	return &Remote{
		ref: at, text: ref, session: c.session(at.Context().Registry, transport.PullScope),
		manifests: map[v1.Hash][]byte{},
	}, nil
}

// Name is the reference as the user wrote it.
func (r *Remote) Name() string { return r.text }

func (r *Remote) repository() string { return r.ref.Context().RepositoryStr() }

// Resolve asks the registry what the reference names.
func (r *Remote) Resolve(ctx context.Context) (v1.Descriptor, error) {
	d, err := r.manifest(ctx, r.ref.Identifier())
	if isNotFound(err) {
		return v1.Descriptor{}, fmt.Errorf("open %s: the registry has no such image: %w", r.text, err)
	}
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("open %s: %w", r.text, err)
	}
	if at, ok := r.ref.(name.Digest); ok {
		// What came instead is found when the manifest of that digest is read.
		if d.Digest, err = v1.NewHash(at.DigestStr()); err != nil {
			return v1.Descriptor{}, fmt.Errorf("open %s: %w", r.text, err)
		}
	}
	return d, nil
}

// manifest reads what a tag or digest names and describes it. The descriptor is
// that of the bytes that came.
func (r *Remote) manifest(ctx context.Context, at string) (v1.Descriptor, error) {
	data, h, said, err := r.fetch(ctx, at)
	if err != nil {
		return v1.Descriptor{}, err
	}
	// What the bytes say of themselves their digest covers, what a header says not.
	var self struct {
		MediaType types.MediaType `json:"mediaType"`
	}
	_ = json.Unmarshal(data, &self) // what cannot be read says nothing; whoever reads it finds that
	d := v1.Descriptor{MediaType: self.MediaType, Digest: h, Size: int64(len(data))}
	if d.MediaType == "" {
		name, _, _ := mime.ParseMediaType(said) // none that can be read is none
		d.MediaType = types.MediaType(name)
	}
	if !d.MediaType.IsImage() && !d.MediaType.IsIndex() {
		return v1.Descriptor{}, fmt.Errorf("manifest %s has the media type %q, which is no image's", at, d.MediaType)
	}
	return d, nil
}

// fetch reads a manifest by its tag or digest and keeps it. It returns the digest
// of the bytes that came, and the media type that the registry says they have.
func (r *Remote) fetch(ctx context.Context, at string) (data []byte, h v1.Hash, said string, err error) {
	a, err := r.session.do(ctx, call{method: http.MethodGet, repository: r.repository(), path: "manifests/" + at,
		header: map[string]string{"Accept": manifestTypes}, good: []int{http.StatusOK}})
	if err != nil {
		return nil, h, "", err
	}
	if h, err = v1.NewHash(digestOf(a.body)); err != nil {
		return nil, h, "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manifests[h] = a.body
	return a.body, h, a.header.Get("Content-Type"), nil
}

// Blob opens a blob, or a manifest. The bytes are as the registry sends them.
func (r *Remote) Blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	if d.MediaType.IsImage() || d.MediaType.IsIndex() {
		return r.keptManifest(ctx, d)
	}
	b := &download{session: r.session, ctx: ctx, size: d.Size,
		call: call{method: http.MethodGet, repository: r.repository(), path: "blobs/" + d.Digest.String()}}
	if err := b.open(); err != nil {
		return nil, fmt.Errorf("read blob %s of %s: %w", d.Digest, r.ref.Context(), err)
	}
	return b, nil
}

// keptManifest returns a manifest that was read before, or reads it. Whether what
// comes is what the digest stands for is for the caller to see.
func (r *Remote) keptManifest(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	r.mu.Lock()
	data := r.manifests[d.Digest]
	r.mu.Unlock()
	if data == nil {
		var err error
		if data, _, _, err = r.fetch(ctx, d.Digest.String()); err != nil {
			return nil, fmt.Errorf("read manifest %s of %s: %w", d.Digest, r.ref.Context(), err)
		}
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// Referrers lists the manifests that name a digest as their subject: as the
// registry lists them, or where it does not by the tag that stands for the list.
// A registry that does not tell the type of an artifact is asked for its
// manifest.
func (r *Remote) Referrers(ctx context.Context, h v1.Hash) ([]v1.Descriptor, error) {
	list, err := r.referrers(ctx, h)
	if err != nil {
		return nil, fmt.Errorf("list attachments of %s in %s: %w", h, r.ref.Context(), err)
	}
	for i := range list {
		d := &list[i]
		if d.ArtifactType != "" && d.ArtifactType != emptyConfig || !d.MediaType.IsImage() {
			continue
		}
		text, err := r.Blob(ctx, *d)
		if err != nil {
			return nil, fmt.Errorf("list attachments of %s: %w", h, err)
		}
		a, err := v1.ParseManifest(text)
		if err != nil {
			return nil, fmt.Errorf("list attachments of %s: manifest %s: %w", h, d.Digest, err)
		}
		d.ArtifactType, d.Annotations = a.ArtifactType, a.Annotations
	}
	return list, nil
}

// emptyConfig is the type of a configuration that says nothing, which some
// registries take for that of the artifact.
const emptyConfig = "application/vnd.oci.empty.v1+json"

// maxPages bounds the pages of a list of attachments.
const maxPages = 100

func (r *Remote) referrers(ctx context.Context, h v1.Hash) ([]v1.Descriptor, error) {
	if r.listless.Load() {
		return r.tagged(ctx, h)
	}
	c := call{method: http.MethodGet, repository: r.repository(), path: "referrers/" + h.String(), good: []int{200, 400, 404, 405, 406, 501}}
	var out []v1.Descriptor
	for range maxPages {
		a, err := r.session.do(ctx, c)
		if err != nil {
			return nil, err
		}
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), string(types.OCIImageIndex)) {
			r.listless.Store(true)
			return r.tagged(ctx, h)
		}
		list, err := attachments(a.body)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
		more := nextPage(a)
		if more == "" {
			return out, nil
		}
		c.location, c.good = more, []int{http.StatusOK}
	}
	return nil, fmt.Errorf("the list has more than %d pages", maxPages)
}

// tagged reads the list under the tag that stands for it, by the distribution
// specification's referrers tag schema. There need be none.
func (r *Remote) tagged(ctx context.Context, h v1.Hash) ([]v1.Descriptor, error) {
	a, err := r.session.do(ctx, call{method: http.MethodGet, repository: r.repository(), path: "manifests/" + strings.Replace(h.String(), ":", "-", 1),
		header: map[string]string{"Accept": string(types.OCIImageIndex)}, good: []int{200, 404}})
	if err != nil || a.status == http.StatusNotFound {
		return nil, err
	}
	return attachments(a.body)
}

func attachments(list []byte) ([]v1.Descriptor, error) {
	idx, err := v1.ParseIndexManifest(bytes.NewReader(list))
	if err != nil {
		return nil, err
	}
	return idx.Manifests, nil
}

// nextPage is where a list goes on, by its header Link (RFC 8288), or nothing.
// Only an address of the registry's own is followed.
func nextPage(a *answer) string {
	for _, link := range a.header.Values("Link") {
		at, parameters, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
		if !ok || !strings.Contains(strings.ReplaceAll(parameters, `"`, ""), "rel=next") {
			continue
		}
		if u, err := a.url.Parse(at); err == nil && u.Host == a.url.Host {
			return u.String()
		}
	}
	return ""
}

// Tag looks up a tag of the image's repository; false where there is none.
func (r *Remote) Tag(ctx context.Context, tag string) (v1.Descriptor, bool, error) {
	d, err := r.manifest(ctx, tag)
	if isNotFound(err) {
		return v1.Descriptor{}, false, nil
	}
	if err != nil {
		return v1.Descriptor{}, false, fmt.Errorf("read tag %s of %s: %w", tag, r.ref.Context(), err)
	}
	return d, true, nil
}

func isNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// download is a blob on its way here. When a connection breaks it goes on where
// that was.
type download struct {
	*session
	ctx    context.Context
	call   call
	size   int64 // as the blob's descriptor says, in bytes
	at     int64 // bytes read
	failed int   // tries since bytes came last
	stream *stream
}

// open asks for the bytes that are missing, or where the registry does not give
// parts for all of them again.
func (b *download) open() error {
	whole := b.at == 0 || b.at >= b.size
	return b.again(b.ctx, func(ctx context.Context) error {
		c := b.call
		c.good = []int{http.StatusOK}
		if !whole {
			// The end is said too: not every registry reads a range without.
			c.header = map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", b.at, b.size-1)}
			c.good = append(c.good, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable)
		}
		st, err := b.session.open(ctx, c)
		if err != nil {
			return err
		}
		if st.status == http.StatusRequestedRangeNotSatisfiable {
			st.Close()
			whole, c.header, c.good = true, nil, []int{http.StatusOK}
			if st, err = b.session.open(ctx, c); err != nil {
				return err
			}
		}
		if err := skip(st, b.at); err != nil {
			st.Close()
			return err
		}
		b.stream = st
		return nil
	})
}

// skip brings a stream to where reading goes on: not every registry sends a part.
func skip(st *stream, at int64) error {
	if st.status == http.StatusPartialContent {
		said := st.header.Get("Content-Range")
		if !strings.HasPrefix(said, fmt.Sprintf("bytes %d-", at)) {
			return &permanentError{fmt.Errorf("asked for the bytes from %d on, the registry sends %q", at, said)}
		}
		return nil
	}
	_, err := io.CopyN(io.Discard, st, at)
	return err
}

// Read implements [io.Reader].
func (b *download) Read(p []byte) (int, error) {
	for {
		n, err := b.stream.Read(p)
		b.at += int64(n)
		if n > 0 {
			b.failed = 0
			return n, nil // an error comes again
		}
		if err == nil || err == io.EOF && b.at >= b.size {
			return 0, err
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		b.failed++
		if retry, _ := temporary(err); !retry || b.ctx.Err() != nil || b.failed >= b.attempts() {
			return 0, fmt.Errorf("%w after %d of %d bytes", err, b.at, b.size)
		}
		if err := sleep(b.ctx, b.pause(b.failed-1)); err != nil {
			return 0, err
		}
		b.stream.Close()
		if err := b.open(); err != nil {
			return 0, err
		}
	}
}

// Close implements [io.Closer].
func (b *download) Close() error { return b.stream.Close() }
