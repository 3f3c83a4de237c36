package dockerarchive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"distroless/internal/oci/image"
	"distroless/internal/oci/layer"
	"distroless/internal/oci/layout"
	"distroless/internal/rootfs"
)

// makeLayout writes a layout of one image whose layers are compressed in each
// way; the first comes twice.
func makeLayout(t *testing.T, arch ...string) *layout.Layout {
	t.Helper()
	blobs := map[string][]byte{}
	var layers []image.Layer
	for _, kind := range []string{"gzip", "zstd", "none"} {
		var b bytes.Buffer
		content := []byte(strings.Repeat(kind, 9000))
		entries := []rootfs.Entry{{Path: "/" + kind, Kind: rootfs.File, Mode: 0o644, Size: int64(len(content))}}
		blob, err := layer.Write(t.Context(), &b, entries, func(*rootfs.Entry) ([]byte, error) { return content, nil }, layer.Compression{Kind: kind})
		if err != nil {
			t.Fatal(err)
		}
		blobs[blob.Digest] = b.Bytes()
		layers = append(layers, image.Layer{Blob: blob, CreatedBy: kind, Created: 1700000000})
	}
	layers = append(layers, layers[0])
	c := &layout.Contents{Blobs: func(d string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(blobs[d])), nil }}
	for _, a := range arch {
		m, err := image.Build(image.Settings{Platform: image.Platform{OS: "linux", Architecture: a}, Created: 1700000000}, layers)
		if err != nil {
			t.Fatal(err)
		}
		c.Images = append(c.Images, m)
	}
	idx, err := image.Index(c.Images, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Tags = []layout.Tag{{Name: "latest", Index: &idx}}
	dir := filepath.Join(t.TempDir(), "x")
	if err := layout.Write(t.Context(), dir, c); err != nil {
		t.Fatal(err)
	}
	l, err := layout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func images(t *testing.T, l *layout.Layout) []*layout.Opened {
	t.Helper()
	d, err := l.Tag("")
	if err != nil {
		t.Fatal(err)
	}
	all, err := l.Images(d)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestWrite writes an archive and reads it with another program's reader. If
// it fails, docker does not load images.
func TestWrite(t *testing.T) {
	all := images(t, makeLayout(t, "amd64", "arm64"))
	img, err := Choose(all, "arm64")
	if err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	for _, w := range []*bytes.Buffer{&a, &b} {
		if err := Write(t.Context(), w, img, []string{"x-debian13:latest"}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two archives of one image differ")
	}
	tag, err := name.NewTag("x-debian13:latest")
	if err != nil {
		t.Fatal(err)
	}
	got, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(a.Bytes())), nil }, &tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	if d, err := got.ConfigName(); err != nil || d != img.Manifest.Config.Digest {
		t.Errorf("the configuration is %s, want %s: %v", d, img.Manifest.Config.Digest, err)
	}
	var names []string
	tr := tar.NewReader(bytes.NewReader(a.Bytes()))
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 1700000000 || h.Uid != 0 || h.Mode != 0o644 {
			t.Errorf("%s: %v", h.Name, h)
		}
		names = append(names, h.Name)
	}
	if len(names) != 5 { // the layer that comes twice is there once
		t.Errorf("the archive has %v", names)
	}
}

// TestChoose asks for one architecture of several. If it fails, people load an
// image that their machine does not run.
func TestChoose(t *testing.T) {
	two := images(t, makeLayout(t, "amd64", "arm64"))
	for _, c := range []struct {
		images []*layout.Opened
		arch   string
		want   string // of the error
	}{
		{two, "amd64", ""}, {two, "", "amd64, arm64: name one"}, {two, "s390x", "no image for s390x, only for amd64, arm64"}, {two[:1], "", ""},
	} {
		_, err := Choose(c.images, c.arch)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q of %d: %v", c.arch, len(c.images), err)
		}
	}
}

// TestDamaged writes an image whose layer was altered. If it fails, altered
// images are loaded without a word.
func TestDamaged(t *testing.T) {
	l := makeLayout(t, "amd64")
	img := images(t, l)[0]
	for i, d := range img.Manifest.Layers[:3] {
		file := filepath.Join(l.Path(), "blobs", "sha256", d.Digest.Hex)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(data)
		bad[len(bad)/2] ^= 1
		if err := os.WriteFile(file, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := Write(t.Context(), &out, img, nil); err == nil || out.Len() > 0 {
			t.Errorf("layer %d altered: %v, %d bytes written", i, err, out.Len())
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
