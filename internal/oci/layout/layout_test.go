package layout_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"distroless/internal/oci/image"
	"distroless/internal/oci/layer"
	"distroless/internal/oci/layout"
	"distroless/internal/rootfs"
	"distroless/internal/testenv"
)

// contents is an image of two architectures, one layer each.
func contents(t testing.TB, compression, text string) *layout.Contents {
	t.Helper()
	comp, err := layer.ParseCompression(compression)
	if err != nil {
		t.Fatal(err)
	}
	blobs := map[string][]byte{}
	var images []*image.Image
	c := &layout.Contents{Blobs: func(digest string) (io.ReadCloser, error) {
		b, ok := blobs[digest]
		if !ok {
			return nil, fmt.Errorf("no blob %s", digest)
		}
		return io.NopCloser(bytes.NewReader(b)), nil
	}}
	for _, arch := range []string{"amd64", "arm64"} {
		data := []byte(text + " for " + arch)
		sum := sha256.Sum256(data)
		entries := []rootfs.Entry{
			{Path: "/etc", Mode: 0o755, MTime: 100},
			{Path: "/etc/text", Kind: rootfs.File, Mode: 0o644, MTime: 100, Size: int64(len(data)), Digest: hex.EncodeToString(sum[:])},
		}
		var b bytes.Buffer
		blob, err := layer.Write(t.Context(), &b, entries, func(*rootfs.Entry) ([]byte, error) { return data, nil }, comp)
		if err != nil {
			t.Fatal(err)
		}
		blobs[blob.Digest] = b.Bytes()
		m, err := image.Build(image.Settings{Platform: image.Platform{OS: "linux", Architecture: arch}, Created: 100}, []image.Layer{{Blob: blob, CreatedBy: "test", Created: 100}})
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, m)
	}
	idx, err := image.Index(images, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Tags = []layout.Tag{{Name: "latest", Index: &idx}, {Name: "latest-amd64", Image: images[0]}, {Name: "latest-arm64", Image: images[1]}}
	c.Images = images
	return c
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	if err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			out = append(out, rel)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// texts reads every file of every image behind a tag.
func texts(l *layout.Layout, tag string) ([]string, error) {
	d, err := l.Tag(tag)
	if err != nil {
		return nil, err
	}
	images, err := l.Images(d)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, img := range images {
		for _, d := range img.Manifest.Layers {
			if err := img.Walk(d, func(h *tar.Header, r io.Reader) error {
				data, err := io.ReadAll(r)
				if h.Typeflag == tar.TypeReg {
					out = append(out, h.Name+": "+string(data))
				}
				return err
			}); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// A layout and an archive of it hold the same and can be read back, in every
// compression.
func TestWriteAndRead(t *testing.T) {
	for _, compression := range []string{"gzip", "zstd", "none"} {
		t.Run(compression, func(t *testing.T) {
			dir := t.TempDir()
			c := contents(t, compression, "hello")
			folder, file := filepath.Join(dir, "folder"), filepath.Join(dir, "file.tar")
			if err := layout.Write(t.Context(), folder, c); err != nil {
				t.Fatal(err)
			}
			var b, again bytes.Buffer
			if err := errors.Join(layout.Archive(t.Context(), &b, c), layout.Archive(t.Context(), &again, c)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), again.Bytes()) {
				t.Error("two archives of the same are not the same")
			}
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, p := range []string{folder, file} {
				l, err := layout.Open(p)
				if err != nil {
					t.Fatal(err)
				}
				if got := l.Tags(); !slices.Equal(got, []string{"latest", "latest-amd64", "latest-arm64"}) {
					t.Error(got)
				}
				for tag, want := range map[string][]string{
					"": {"etc/text: hello for amd64", "etc/text: hello for arm64"}, "latest": {"etc/text: hello for amd64", "etc/text: hello for arm64"}, "latest-arm64": {"etc/text: hello for arm64"},
				} {
					if got, err := texts(l, tag); err != nil || !slices.Equal(got, want) {
						t.Errorf("%s:%s: %q, %v", p, tag, got, err)
					}
				}
				if _, err := l.Tag("none"); err == nil || !strings.Contains(err.Error(), `no tag "none", expected one of latest, latest-amd64, latest-arm64`) {
					t.Error(err)
				}
			}
			marker, err := os.ReadFile(filepath.Join(folder, "oci-layout"))
			if err != nil || string(marker) != `{"imageLayoutVersion":"1.0.0"}` {
				t.Error(string(marker), err)
			}
			if n := len(names(t, filepath.Join(folder, "blobs"))); n != 7 {
				t.Errorf("%d blobs, want two layers, configs and manifests, and an index", n)
			}
		})
	}
}

// A rebuild replaces the layout whole: nothing of the old one stays, and an
// interrupted or failed one leaves the old one as it was.
func TestReplace(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "image")
	if err := layout.Write(t.Context(), dir, contents(t, "gzip", "old")); err != nil {
		t.Fatal(err)
	}
	old := names(t, dir)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := layout.Write(ctx, dir, contents(t, "gzip", "new")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	for what, change := range map[string]func([]byte) []byte{
		"other bytes": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut short":   func(b []byte) []byte { return b[:len(b)-1] },
		"too long":    func(b []byte) []byte { return append(b, 0) },
	} {
		c := contents(t, "gzip", "new")
		good := c.Blobs
		c.Blobs = func(digest string) (io.ReadCloser, error) {
			r, err := good(digest)
			if err != nil {
				return nil, err
			}
			b, err := io.ReadAll(r)
			return io.NopCloser(bytes.NewReader(change(b))), err
		}
		if err := layout.Write(t.Context(), dir, c); err == nil || !strings.Contains(err.Error(), "run the build again") {
			t.Errorf("%s: error %v", what, err)
		}
		if err := layout.Archive(t.Context(), io.Discard, c); err == nil {
			t.Errorf("%s: archived", what)
		}
	}
	if got := names(t, dir); !slices.Equal(got, old) {
		t.Errorf("the old layout has changed: %v, want %v", got, old)
	}

	if err := layout.Write(t.Context(), dir, contents(t, "gzip", "new")); err != nil {
		t.Fatal(err)
	}
	l, err := layout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := texts(l, "latest-amd64"); err != nil || !slices.Equal(got, []string{"etc/text: new for amd64"}) {
		t.Error(got, err)
	}
	if got := names(t, dir); len(got) != len(old) {
		t.Errorf("left over: %v", got)
	}
	entries, err := os.ReadDir(parent)
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the layout: %v, %v", entries, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// A folder that is no layout is somebody's work.
func TestRefusesOtherFolders(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis"), []byte("years"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := layout.Write(t.Context(), dir, contents(t, "gzip", "x")); err == nil || !strings.Contains(err.Error(), "is not an OCI layout: choose another --output, or remove it") {
		t.Errorf("error %v", err)
	}
	if err := layout.Write(t.Context(), filepath.Join(dir, "thesis"), contents(t, "gzip", "x")); err == nil {
		t.Error("a file was replaced")
	}
	if got := names(t, dir); !slices.Equal(got, []string{"thesis"}) {
		t.Error(got)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := layout.Write(t.Context(), empty, contents(t, "gzip", "x")); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
}

// Whoever alters a blob is found when it is read: every byte of a layout hangs
// on the digest of the index.
func TestDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "image")
	if err := layout.Write(t.Context(), dir, contents(t, "gzip", "x")); err != nil {
		t.Fatal(err)
	}
	for _, name := range names(t, filepath.Join(dir, "blobs")) {
		file := filepath.Join(dir, "blobs", name)
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for what, change := range map[string]func([]byte) []byte{
			"a byte":    func(b []byte) []byte { b[len(b)-3] ^= 1; return b },
			"cut short": func(b []byte) []byte { return b[:len(b)/2] },
			"longer":    func(b []byte) []byte { return append(b, '\n') },
			"empty":     func([]byte) []byte { return nil },
		} {
			if err := os.WriteFile(file, change(bytes.Clone(good)), 0o644); err != nil {
				t.Fatal(err)
			}
			l, err := layout.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := texts(l, "latest"); err == nil {
				t.Errorf("%s, %s: read %q", name, what, got)
			}
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if l, err := layout.Open(dir); err != nil {
			t.Fatal(err)
		} else if _, err := texts(l, "latest"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is gone: error %v", name, err)
		}
		if err := os.WriteFile(file, good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"not JSON": "{", "a digest that climbs": `{"manifests":[{"mediaType":"m","size":1,"digest":"sha256:../../../../etc/passwd"}]}`} {
		if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := layout.Open(dir); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	for _, p := range []string{filepath.Join(dir, "none"), t.TempDir(), filepath.Join(dir, "oci-layout")} {
		if _, err := layout.Open(p); err == nil {
			t.Errorf("%s: opened", p)
		}
	}
}

// The tools that teams have must read what we write.
func TestAgainstUmociAndSkopeo(t *testing.T) {
	umoci, skopeo := testenv.Tool(t, "umoci"), testenv.Tool(t, "skopeo")
	dir := t.TempDir()
	if err := layout.Write(t.Context(), filepath.Join(dir, "image"), contents(t, "gzip", "x")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{umoci, "unpack", "--rootless", "--image", filepath.Join(dir, "image:latest-amd64"), filepath.Join(dir, "bundle")},
		{skopeo, "inspect", "--raw", "oci:" + filepath.Join(dir, "image:latest")},
		{skopeo, "copy", "--insecure-policy", "--all", "oci:" + filepath.Join(dir, "image:latest"), "oci:" + filepath.Join(dir, "copy:latest")},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "bundle/rootfs/etc/text"))
	if err != nil || string(data) != "x for amd64" {
		t.Error(string(data), err)
	}
}
