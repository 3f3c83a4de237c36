// Package dockerarchive writes an image as the tar archive that `docker load`,
// `podman load` and `ctr images import` take, every version of them: layers
// uncompressed and named by their digests, the configuration as it is, and
// manifest.json. See "Combined Image JSON + Filesystem Changeset Format" of
// the Docker image specification 1.2.
//
// It is not for publishing: compressed layers, the manifest and its digest are
// lost on this way. Start with [Write].
package dockerarchive

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"distroless/internal/oci/layout"
)

// entry is the one element of manifest.json.
type entry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// Write writes an image under names such as "base-debian13:latest", the same
// bytes for the same image and names. Layers are verified before the first
// byte is written.
func Write(ctx context.Context, w io.Writer, image *layout.Opened, names []string) error {
	config, err := image.Document(image.Manifest.Config)
	if err != nil {
		return err
	}
	sizes, err := measure(ctx, image)
	if err != nil {
		return err
	}
	a := &archive{tw: tar.NewWriter(w), time: image.Config.Created.Unix(), there: map[string]bool{}}
	if a.time < 0 {
		a.time = 0
	}
	m := entry{Config: image.Manifest.Config.Digest.Hex + ".json", RepoTags: names}
	for i, d := range image.Manifest.Layers {
		name := path.Join(image.Config.RootFS.DiffIDs[i].Hex, "layer.tar")
		m.Layers = append(m.Layers, name)
		if err := a.layer(ctx, image, d, name, sizes[i]); err != nil {
			return fmt.Errorf("write docker archive: %w", err)
		}
	}
	manifest, err := json.Marshal([]entry{m})
	if err != nil {
		return fmt.Errorf("write docker archive: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{m.Config, config}, {"manifest.json", manifest}} {
		if err := a.put(f.name, int64(len(f.data)), bytes.NewReader(f.data)); err != nil {
			return fmt.Errorf("write docker archive: %w", err)
		}
	}
	if err := a.tw.Close(); err != nil {
		return fmt.Errorf("write docker archive: %w", err)
	}
	return nil
}

// measure unpacks each layer to learn its size, which an archive states before
// the bytes, and holds its digest against the configuration.
func measure(ctx context.Context, image *layout.Opened) ([]int64, error) {
	layers, want := image.Manifest.Layers, image.Config.RootFS.DiffIDs
	if len(layers) != len(want) {
		return nil, fmt.Errorf("image %s has %d layers, its configuration says %d", image.Descriptor.Digest, len(layers), len(want))
	}
	sizes := make([]int64, len(layers))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, d := range layers {
		g.Go(func() error {
			h := sha256.New()
			n, err := copyLayer(ctx, h, image, d)
			if err != nil {
				return err
			}
			if got := hex.EncodeToString(h.Sum(nil)); got != want[i].Hex {
				return fmt.Errorf("layer %s unpacks to sha256:%s, its configuration says %s", d.Digest, got, want[i])
			}
			sizes[i] = n
			return nil
		})
	}
	return sizes, g.Wait()
}

// copyLayer writes a layer's tar archive to w.
func copyLayer(ctx context.Context, w io.Writer, image *layout.Opened, d v1.Descriptor) (int64, error) {
	r, err := image.Uncompressed(d)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	n, err := io.Copy(w, &stoppable{ctx, r})
	if err != nil {
		return n, fmt.Errorf("unpack layer %s: %w", d.Digest, err)
	}
	return n, nil
}

// stoppable ends a copy with its context.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// archive is the tar archive under way.
type archive struct {
	tw    *tar.Writer
	time  int64
	there map[string]bool
}

// layer writes a layer, once.
func (a *archive) layer(ctx context.Context, image *layout.Opened, d v1.Descriptor, name string, size int64) error {
	if a.there[name] {
		return nil
	}
	a.there[name] = true
	if err := a.header(name, size); err != nil {
		return err
	}
	_, err := copyLayer(ctx, a.tw, image, d)
	return err
}

func (a *archive) put(name string, size int64, r io.Reader) error {
	if err := a.header(name, size); err != nil {
		return err
	}
	_, err := io.Copy(a.tw, r)
	return err
}

func (a *archive) header(name string, size int64) error {
	h := &tar.Header{Name: name, Mode: 0o644, Size: size, Typeflag: tar.TypeReg, ModTime: time.Unix(a.time, 0)}
	if size < 8<<30 { // more than this format can say
		h.Format = tar.FormatUSTAR
	}
	return a.tw.WriteHeader(h)
}

// Choose returns the one image for an architecture, by OCI's name, among those
// of an index. An empty architecture means the only one.
func Choose(images []*layout.Opened, arch string) (*layout.Opened, error) {
	var have []string
	var found []*layout.Opened
	for _, i := range images {
		have = append(have, i.Config.Architecture)
		if arch == "" || i.Config.Architecture == arch {
			found = append(found, i)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case arch == "":
		return nil, fmt.Errorf("a docker archive holds one architecture, the image has %s: name one with --arch", strings.Join(have, ", "))
	}
	return nil, fmt.Errorf("no image for %s, only for %s", arch, strings.Join(have, ", "))
}
