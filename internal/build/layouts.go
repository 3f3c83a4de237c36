package build

import (
	"context"
	"io"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"distroless/internal/fetch"
	"distroless/internal/oci/layout"
)

// Layout is the image as the contents of an OCI layout.
func (m *Made) Layout() *layout.Contents {
	c := &layout.Contents{Blobs: m.open, Link: m.link}
	for _, v := range m.Variants {
		if idx := m.Indices[v]; idx != nil {
			c.Tags = append(c.Tags, layout.Tag{Name: v, Index: idx})
		}
		for _, a := range m.Archs {
			img := m.Images[v][a]
			c.Tags = append(c.Tags, layout.Tag{Name: v + "-" + img.Platform.Architecture, Image: img})
			c.Images = append(c.Images, img)
		}
	}
	return c
}

// openLayer opens a layer in the cache; its bytes are verified as they are read.
func (b *Builder) openLayer(digest string) (io.ReadCloser, error) {
	return b.Cache.Open(layerNamed(digest))
}

func layerNamed(digest string) fetch.Object {
	return fetch.Object{Name: "layer " + digest, SHA256: strings.TrimPrefix(digest, "sha256:"), Size: -1}
}

// linkLayer makes file a link to a layer in the cache, whose bytes are read and
// verified once a run however many layouts have it.
func (b *Builder) linkLayer(digest, file string) (bool, error) {
	o := layerNamed(digest)
	if err := b.Cache.Link(o, file); err != nil {
		return false, nil // not there, or on another file system: copying says which
	}
	if err := b.verifyLayer(o); err != nil {
		return false, err
	}
	return true, nil
}

// checked is whether somebody has read a layer to its end, and is held while
// somebody does.
type checked struct {
	mu   sync.Mutex
	done bool
}

// verifyLayer reads a layer in the cache, unless this run has done so. A
// damaged one is removed, and made anew it is read again.
func (b *Builder) verifyLayer(o fetch.Object) error {
	b.mu.Lock()
	c := b.verified[o.SHA256]
	if c == nil {
		c = new(checked)
		b.verified[o.SHA256] = c
	}
	b.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return nil
	}
	r, err := b.Cache.Open(o)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Verify(); err != nil {
		return err
	}
	c.done = true
	return nil
}

// WriteLayouts writes each image as an OCI layout into the folder that dir
// says, several at a time.
func (b *Builder) WriteLayouts(ctx context.Context, made []*Made, dir func(*Made) string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(b.jobs())
	for _, m := range made {
		g.Go(func() error { return layout.Write(ctx, dir(m), m.Layout()) })
	}
	return g.Wait()
}
