package inventory_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"distroless/internal/oci/image"
	"distroless/internal/rootfs"
	"distroless/internal/trust/inventory"
	"distroless/internal/trust/source"
	"distroless/internal/trust/trusttest"
)

// read reads one image of a layout.
func read(t *testing.T, ref string) (*inventory.Inventory, error) {
	t.Helper()
	s, err := source.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	images, err := source.Images(t.Context(), s, d)
	if err != nil {
		return nil, err
	}
	return new(inventory.Reader).Read(t.Context(), images[0])
}

func TestRead(t *testing.T) {
	v, err := read(t, trusttest.Sample(t)+":latest-amd64")
	if err != nil {
		t.Fatal(err)
	}
	if v.Distro != "debian-13" || v.Platform.Architecture != "amd64" || v.Created != "2025-06-15T15:06:40Z" || v.Name != "app-debian13" {
		t.Errorf("image: %q %q %q %q", v.Distro, v.Platform.Architecture, v.Created, v.Name)
	}
	var packages []string
	for _, p := range v.Packages {
		packages = append(packages, fmt.Sprintf("%s %s from %s %s", p.Name, p.Version, p.Source, p.SourceVersion))
	}
	want := []string{"base-files 13.8+deb13u1 from base-files 13.8+deb13u1", "libc6 2.41-12 from glibc 2.41-12", "libstdc++6 14.2.0-19 from gcc-14 14.2.0-18"}
	if !slices.Equal(packages, want) {
		t.Errorf("packages %q, want %q", packages, want)
	}
	for path, want := range map[string]string{
		"/usr/lib/libc.so.6":                       "file libc6",
		"/usr/lib/libc-2.41.so":                    "file level base made",
		"/etc/passwd":                              "file accounts made",
		"/etc/ld.so.cache":                         "file ldconfig made",
		"/etc/motd":                                "file level static made",
		"/var/lib/dpkg/status.d/libc6":             "file dpkg-status made",
		"/etc/os-release":                          "symlink level static made",
		"/tmp":                                     "directory level static made",
		"/usr/share/common-licenses/Apache-2.0":    "file base-files",
		"/var/lib/dpkg/status.d/libc6.md5sums":     "file dpkg-status made",
		"/usr/share/doc/libstdc++6/copyright":      "symlink level base made",
		"/usr/share/doc/base-files/copyright/nope": "none",
	} {
		got := "none"
		if f := v.File(path); f != nil {
			got = f.Kind.String() + " " + f.Owner
			if f.Generated {
				got += " made"
			}
		}
		if got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	a, b := v.File("/usr/lib/libc.so.6"), v.File("/usr/lib/libc-2.41.so")
	if a.SHA256 != b.SHA256 || a.MD5 != v.Package("libc6").Sums[a.Path] || len(a.SHA1) != 40 {
		t.Errorf("a hard link has other digests than its file, or the list says otherwise: %+v %+v", a, b)
	}
}

// TestConffiles: dpkg's paragraphs list configuration files apart from the
// .md5sums. If it fails, they have no owner in SBOMs.
func TestConffiles(t *testing.T) {
	img, blobs := trusttest.Image(t, "amd64", trusttest.Layer{By: "x", Files: map[string]string{
		"/var/lib/dpkg/status": "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nConffiles:\n /etc/a 900150983cd24fb0d6963f7d28e17f72\n\n" +
			"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: b\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2\n",
		"/var/lib/dpkg/info/b:amd64.md5sums": "d41d8cd98f00b204e9800998ecf8427e  usr/b\n",
		"/etc/a":                             "abc", "/usr/b": "",
	}})
	v, err := read(t, trusttest.Layout(t, []*image.Image{img}, blobs)+":latest-amd64")
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Packages) != 2 || v.File("/etc/a").Owner != "a" || v.File("/usr/b").Owner != "b" || v.File("/var/lib/dpkg/status").Owner != "unlisted" {
		t.Errorf("packages %+v, owners %+v", v.Packages, v.Files)
	}
}

// TestWhiteouts: other builders' images hide files of layers below.
func TestWhiteouts(t *testing.T) {
	img, blobs := trusttest.Image(t, "amd64",
		trusttest.Layer{Files: map[string]string{"/a/x": "1", "/a/y": "2", "/b/x": "3", "/c": "4", "/d/e/f": "5", "/g/h": "6"}},
		trusttest.Layer{Files: map[string]string{"/a/.wh.x": "", "/b/.wh..wh..opq": "", "/b/new": "7", "/.wh.d": "", "/c": "8", "/g": "a file now"}})
	v, err := read(t, trusttest.Layout(t, []*image.Image{img}, blobs)+":latest-amd64")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range v.Files {
		if f.Kind == inventory.Regular {
			got = append(got, f.Path)
		}
	}
	if want := []string{"/a/y", "/b/new", "/c", "/g"}; !slices.Equal(got, want) || v.File("/c").Size != 1 || v.File("/c").Layer != 1 {
		t.Errorf("files %q, want %q", got, want)
	}
}

// TestAltered changes each blob of a layout in turn. If it fails, somebody who
// can write to a registry can change an image and pass.
func TestAltered(t *testing.T) {
	dir := trusttest.Sample(t)
	files, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, changed := range [][]byte{flip(data), data[:len(data)-1], append(bytes.Clone(data), '\n')} {
			if err := os.WriteFile(f, changed, 0o644); err != nil {
				t.Fatal(err)
			}
			_, one := read(t, dir+":latest-amd64")
			_, two := read(t, dir+":latest-arm64")
			_, three := read(t, dir+":latest")
			var m *inventory.Mismatch
			if !errors.As(errors.Join(one, two, three), &m) || !strings.Contains(m.What, filepath.Base(f)) {
				t.Errorf("%s altered: %v, %v, %v", filepath.Base(f), one, two, three)
				continue
			}
			kinds[m.Kind]++
		}
		if err := os.WriteFile(f, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := slices.Sorted(maps.Keys(kinds)); !slices.Equal(got, []string{"config", "index", "layer", "manifest"}) {
		t.Errorf("kinds of blobs found altered: %v", got)
	}
}

func flip(data []byte) []byte {
	out := bytes.Clone(data)
	out[len(out)/2] ^= 1
	return out
}

// TestFromEntries: what a build knows of a layer is what is read back of it. If
// it fails, the SBOM attached by a build is not that of the image.
func TestFromEntries(t *testing.T) {
	ref := trusttest.Sample(t) + ":latest-amd64"
	want, err := read(t, ref)
	if err != nil {
		t.Fatal(err)
	}
	r := inventory.Reader{NoMD5: true}
	for i, l := range trusttest.SampleLayers("amd64") {
		entries, texts := trusttest.Entries(l.Files)
		made, err := inventory.FromEntries(want.DiffIDs[i], entries, func(e *rootfs.Entry) ([]byte, error) { return texts[e.Digest], nil })
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(made)
		if err != nil {
			t.Fatal(err)
		}
		back := new(inventory.Layer)
		if err := json.Unmarshal(data, back); err != nil {
			t.Fatal(err)
		}
		r.Know(want.Manifest.Layers[i].Digest.String(), back)
	}
	s, err := source.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	images, err := source.Images(t.Context(), s, d)
	if err != nil {
		t.Fatal(err)
	}
	images[0].Blobs = nil // nothing is to be read
	got, err := r.Read(t.Context(), images[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.Files {
		want.Files[i].MD5 = ""
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("known layers give\n%+v\nread ones\n%+v", got, want)
	}
}
