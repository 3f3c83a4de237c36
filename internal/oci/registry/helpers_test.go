package registry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"distroless/internal/oci/image"
	"distroless/internal/oci/layer"
	"distroless/internal/oci/layout"
)

// store keeps the blobs of the layouts that a test makes.
type store map[string][]byte

func (s store) open(digest string) (io.ReadCloser, error) {
	data, ok := s[digest]
	if !ok {
		return nil, fmt.Errorf("no blob %s", digest)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// layer makes a layer with one file of incompressible bytes.
func (s store) layer(t testing.TB, name string, size int) image.Layer {
	t.Helper()
	content := make([]byte, size)
	seed := [32]byte{}
	copy(seed[:], name)
	if _, err := rand.NewChaCha8(seed).Read(content); err != nil {
		t.Fatal(err)
	}
	var plain, packed bytes.Buffer
	tw := tar.NewWriter(&plain)
	if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(size), ModTime: time.Unix(1, 0)}); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(plain.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	b := layer.Blob{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: digestOf(packed.Bytes()), Size: int64(packed.Len()), DiffID: digestOf(plain.Bytes())}
	s[b.Digest] = packed.Bytes()
	return image.Layer{Blob: b, CreatedBy: name, Created: 1}
}

// variants that test layouts have.
var variants = []string{"latest", "debug"}

// makeLayout writes a layout of two variants and two architectures, with a
// layer of its own under the given ones.
func (s store) makeLayout(t testing.TB, file string, annotations map[string]string, below ...image.Layer) *layout.Layout {
	t.Helper()
	return s.makeVariants(t, file, variants, annotations, below...)
}

func (s store) makeVariants(t testing.TB, file string, variants []string, annotations map[string]string, below ...image.Layer) *layout.Layout {
	t.Helper()
	c := &layout.Contents{Blobs: s.open}
	for _, v := range variants {
		var images []*image.Image
		for _, arch := range []string{"amd64", "arm64"} {
			layers := append(append([]image.Layer{}, below...), s.layer(t, filepath.Base(file)+"-"+arch, 40_000))
			if v == "debug" {
				layers = append(layers, s.layer(t, "shell-"+arch, 3_000))
			}
			m, err := image.Build(image.Settings{Platform: image.Platform{OS: "linux", Architecture: arch}, Created: 1, User: v, Annotations: annotations}, layers)
			if err != nil {
				t.Fatal(err)
			}
			images = append(images, m)
			c.Images = append(c.Images, m)
		}
		idx, err := image.Index(images, annotations)
		if err != nil {
			t.Fatal(err)
		}
		c.Tags = append(c.Tags, layout.Tag{Name: v, Index: &idx})
		for _, m := range images {
			c.Tags = append(c.Tags, layout.Tag{Name: v + "-" + m.Platform.Architecture, Image: m})
		}
	}
	if err := layout.Write(t.Context(), file, c); err != nil {
		t.Fatal(err)
	}
	l, err := layout.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// two makes two layouts that share a layer.
func two(t testing.TB) []Source {
	t.Helper()
	s := store{}
	dir := t.TempDir()
	shared := s.layer(t, "shared", 70_000)
	return []Source{
		{Layout: s.makeLayout(t, filepath.Join(dir, "base-debian13"), nil, shared), Image: "base", Distro: "debian13"},
		{Layout: s.makeLayout(t, filepath.Join(dir, "python3-debian13"), map[string]string{version: "3.13.5", base: "base-debian13:latest"}, shared), Image: "python3", Distro: "debian13"},
	}
}

// shelf keeps blobs by repository, as real registries do: the library's own
// registry has every blob in all repositories, and mounts nothing.
type shelf struct {
	mu    sync.Mutex
	blobs map[string][]byte // by repository and digest
}

func (s *shelf) Stat(_ context.Context, repo string, h v1.Hash) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.blobs[repo+"@"+h.String()]
	if !ok {
		return 0, ggcr.ErrNotFound
	}
	return int64(len(data)), nil
}

func (s *shelf) Get(_ context.Context, repo string, h v1.Hash) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.blobs[repo+"@"+h.String()]
	if !ok {
		return nil, ggcr.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (s *shelf) Put(_ context.Context, repo string, h v1.Hash, r io.ReadCloser) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[strings.TrimSuffix(repo, "/blobs")+"@"+h.String()] = data // the library cuts off too little when an upload ends
	return nil
}

// mount answers a request to mount a blob, if it is one that can be done.
func (s *shelf) mount(w http.ResponseWriter, req *http.Request) bool {
	q := req.URL.Query()
	repo, ok := strings.CutSuffix(strings.TrimPrefix(req.URL.Path, "/v2/"), "/blobs/uploads/")
	if req.Method != http.MethodPost || !ok || q.Get("from") == "" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.blobs[q.Get("from")+"@"+q.Get("mount")]
	if ok {
		s.blobs[repo+"@"+q.Get("mount")] = data
		w.Header().Set("Location", "/v2/"+repo+"/blobs/"+q.Get("mount"))
		w.WriteHeader(http.StatusCreated)
	}
	return ok
}

// newRegistry is a registry with repositories that are apart.
func newRegistry(referrers bool) http.Handler {
	s := &shelf{blobs: map[string][]byte{}}
	inner := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(referrers), ggcr.WithBlobHandler(s))
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPut {
			// The library would keep a body that breaks off.
			data, err := io.ReadAll(req.Body)
			if err != nil {
				http.Error(w, "", http.StatusBadRequest)
				return
			}
			req = req.Clone(req.Context())
			req.Body = io.NopCloser(bytes.NewReader(data))
		}
		if !s.mount(w, req) {
			inner.ServeHTTP(w, req)
		}
	})
}

// serve runs a registry and returns its address.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	srv, host := listen(h)
	t.Cleanup(srv.Close)
	return host
}

func start(t testing.TB, referrers bool) string {
	t.Helper()
	return serve(t, newRegistry(referrers))
}

func mustPlan(t testing.TB, sources []Source, n Naming) *Plan {
	t.Helper()
	p, err := Make(sources, n)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// quick is a client that does not wait between tries.
func quick() *Client { return &Client{Pause: time.Millisecond, Patience: 2 * time.Second} }

// tags reads back what the tags of a plan name; those that are not there are
// left out. Each that is there must be complete.
func tags(t testing.TB, host string, p *Plan) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, r := range p.Repositories {
		for _, tag := range r.Tags {
			ref, err := name.ParseReference(host + "/" + r.Name + ":" + tag.Name)
			if err != nil {
				t.Fatal(err)
			}
			d, err := remote.Get(ref)
			if err != nil {
				continue
			}
			out[r.Name+":"+tag.Name] = d.Digest.String()
			if err := complete(d); err != nil {
				t.Errorf("%s is there and not complete: %v", ref, err)
			}
		}
	}
	return out
}

func complete(d *remote.Descriptor) error {
	if d.MediaType.IsIndex() {
		idx, err := d.ImageIndex()
		if err != nil {
			return err
		}
		return validate.Index(idx, validate.Fast)
	}
	img, err := d.Image()
	if err != nil {
		return err
	}
	m, err := img.Manifest()
	if err != nil || m.Subject == nil {
		return errors.Join(err, validate.Image(img))
	}
	for _, b := range append(m.Layers, m.Config) { // an attachment
		l, err := img.LayerByDigest(b.Digest)
		if err != nil {
			return err
		}
		if ok, err := partial.Exists(l); err != nil || !ok {
			return fmt.Errorf("blob %s: there %v: %w", b.Digest, ok, err)
		}
	}
	return nil
}

// check fails unless every tag of the plan names what it should.
func check(t testing.TB, host string, p *Plan) {
	t.Helper()
	got := tags(t, host, p)
	for _, r := range p.Repositories {
		for _, tag := range r.Tags {
			if at := r.Name + ":" + tag.Name; got[at] != tag.Digest {
				t.Errorf("%s is %q, want %s", at, got[at], tag.Digest)
			}
		}
	}
}
