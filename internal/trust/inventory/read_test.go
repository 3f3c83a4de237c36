package inventory_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"distroless/internal/oci/image"
	"distroless/internal/oci/layer"
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
		"/usr/lib/libc-2.41.so":                    "file libc6",
		"/etc/passwd":                              "file accounts made",
		"/etc/ld.so.cache":                         "file ldconfig made",
		"/etc/motd":                                "file contents made",
		"/var/lib/distroless/generated/base":       "file generated-list made",
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
	known := map[string]*inventory.Layer{}
	for i, l := range trusttest.SampleLayers("amd64") {
		entries, texts := trusttest.Entries(l.Files)
		made, err := inventory.FromEntries(want.DiffIDs[i], entries, func(e *rootfs.Entry) ([]byte, error) { return texts[e.Digest], nil })
		if err != nil {
			t.Fatal(err)
		}
		data, err := made.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		back := new(inventory.Layer)
		if err := back.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		known[want.Manifest.Layers[i].Digest.String()] = back
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
	r := inventory.Reader{NoMD5: true, Known: func(digest string) *inventory.Layer { return known[digest] }}
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

// TestKnownAltered: what is remembered of a layer must not stand in for one that
// was altered. If it fails, a build signs what it has not got.
func TestKnownAltered(t *testing.T) {
	dir := trusttest.Sample(t)
	v, err := read(t, dir+":latest-amd64")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	r := inventory.Reader{NoMD5: true, Known: func(digest string) *inventory.Layer {
		asked.Add(1)
		for i, l := range v.Manifest.Layers {
			if l.Digest.String() == digest {
				return &inventory.Layer{DiffID: v.DiffIDs[i]}
			}
		}
		return nil
	}}
	again := func() error {
		s, err := source.Open(dir + ":latest-amd64")
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
		_, err = r.Read(t.Context(), images[0])
		return err
	}
	file := filepath.Join(dir, "blobs", "sha256", v.Manifest.Layers[1].Digest.Hex)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, changed := range [][]byte{flip(data), data[:len(data)-1], append(bytes.Clone(data), 0), nil} {
		if err := os.WriteFile(file, changed, 0o644); err != nil {
			t.Fatal(err)
		}
		var m *inventory.Mismatch
		if err := again(); !errors.As(err, &m) || m.Kind != "layer" {
			t.Errorf("%d bytes of %d: %v", len(changed), len(data), err)
		}
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil || asked.Load() == 0 {
		t.Errorf("whole again: %v, asked %d times", err, asked.Load())
	}
	// MD5 digests are not remembered: who wants them has the layer read.
	r = inventory.Reader{Known: func(string) *inventory.Layer { t.Error("asked for what has no MD5 digests"); return nil }}
	if err := again(); err != nil {
		t.Error(err)
	}
}

// TestOwners: a level's list speaks of its own level and those below, a package's
// of what nothing was generated over. If it fails, an SBOM blames a package for
// somebody else's file.
func TestOwners(t *testing.T) {
	layers := []trusttest.Layer{
		{By: "distroless low", Files: trusttest.Files(
			trusttest.Package("aa", "1", "Architecture: all\nConffiles:\n /etc/a 0cc175b9c0f1b6a831c399e269772661\n", map[string]string{"/usr/aa": "aa", "/usr/both": "x", "/etc/l": "-> a"}),
			map[string]string{"/etc/a": "a", "/etc/low": "low", "/etc/same": "one"},
			trusttest.Generated("low", map[string]string{"/etc/low": "contents", "/etc/same": "accounts"}))},
		{By: "distroless up: bb", Files: trusttest.Package("bb", "1", "Architecture: all\n", map[string]string{"/usr/bb": "bb", "/etc/low": "of a package"})},
		{By: "distroless up", Files: trusttest.Files(map[string]string{"/usr/both": "over it", "/etc/same": "two", "/opt/x": "x"},
			trusttest.Generated("up", map[string]string{"/usr/both": "contents", "/etc/same": "aa postinst", "/opt/x": "contents"}))},
	}
	want := map[string]string{
		"/etc/a": "aa", "/usr/aa": "aa", "/usr/bb": "bb", "/etc/low": "bb", "/usr/both": "contents made", "/etc/same": "aa postinst made", "/opt/x": "contents made",
		"/etc/l": "level low made", "/etc": "level up made",
	}
	img, blobs := trusttest.Image(t, "amd64", layers...)
	v, err := read(t, trusttest.Layout(t, []*image.Image{img}, blobs)+":latest-amd64")
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range want {
		f := v.File(p)
		got := f.Owner
		if f.Generated {
			got += " made"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
	// All in one layer, as somebody may have squashed them.
	files := map[string]string{}
	for _, l := range layers {
		maps.Copy(files, l.Files)
	}
	img, blobs = trusttest.Image(t, "amd64", trusttest.Layer{Files: files})
	if v, err = read(t, trusttest.Layout(t, []*image.Image{img}, blobs)+":latest-amd64"); err != nil {
		t.Fatal(err)
	}
	if a, b := v.File("/opt/x"), v.File("/usr/aa"); a.Owner != "contents" || b.Owner != "aa" {
		t.Errorf("squashed: %+v, %+v", a, b)
	}
}

// TestRemembered writes and reads back layers of all kinds. If it fails, an SBOM
// differs from run to run with what the cache has.
func TestRemembered(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := &inventory.Layer{DiffID: rapid.String().Draw(rt, "diffID"), Files: []inventory.File{}, Texts: map[string][]byte{}}
		for range rapid.IntRange(0, 5).Draw(rt, "files") {
			l.Files = append(l.Files, inventory.File{
				Path: rapid.String().Draw(rt, "path"), Kind: inventory.Kind(rapid.IntRange(0, 3).Draw(rt, "kind")), Mode: rapid.Uint32().Draw(rt, "mode"),
				UID: rapid.Int().Draw(rt, "uid"), GID: rapid.Int().Draw(rt, "gid"), Size: rapid.Int64().Draw(rt, "size"),
				SHA1: rapid.String().Draw(rt, "sha1"), SHA256: rapid.String().Draw(rt, "sha256"), MD5: rapid.String().Draw(rt, "md5"),
				Target: rapid.String().Draw(rt, "target"), Link: rapid.String().Draw(rt, "link"),
			})
		}
		for range rapid.IntRange(0, 3).Draw(rt, "texts") {
			l.Texts[rapid.String().Draw(rt, "name")] = append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(rt, "text")...)
		}
		data, err := l.MarshalBinary()
		if err != nil {
			rt.Fatal(err)
		}
		back := new(inventory.Layer)
		if err := back.UnmarshalBinary(data); err != nil || !reflect.DeepEqual(l, back) {
			rt.Fatalf("%v: wrote\n%+v\nread\n%+v", err, l, back)
		}
		if cut := rapid.IntRange(0, len(data)-1).Draw(rt, "cut"); back.UnmarshalBinary(data[:cut]) == nil {
			rt.Fatalf("%d of %d bytes pass for a layer", cut, len(data))
		}
	})
}

// TestEntriesAndLayer writes layers of random entries and reads them: what is
// known of the entries must be what the archive holds.
func TestEntriesAndLayer(t *testing.T) {
	names := []string{"a", "b", "usr/share/doc/x/copyright", "var/lib/dpkg/status.d/x", "var/lib/dpkg/status.d/x.md5sums", "usr/lib/os-release", "etc/ő", "usr/long/" + strings.Repeat("n", 120)}
	rapid.Check(t, func(rt *rapid.T) {
		files := map[string]string{}
		var regular []string
		for _, n := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, len(names), rapid.ID).Draw(rt, "names") {
			switch rapid.IntRange(0, 4).Draw(rt, "kind") {
			case 0:
				files["/"+n] = "-> " + rapid.SampledFrom([]string{"a", "../x", "/usr/lib"}).Draw(rt, "target")
			case 1:
				if len(regular) > 0 {
					files["/"+n] = "=> " + rapid.SampledFrom(regular).Draw(rt, "link")
					continue
				}
				files["/d"+n+"/"] = ""
			default:
				files["/"+n] = string(rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(rt, "data")) + "."
				regular = append(regular, "/"+n)
			}
		}
		entries, texts := trusttest.Entries(files)
		for i := range entries {
			entries[i].Mode = uint32(rapid.IntRange(0, 0o7777).Draw(rt, "mode"))
			if entries[i].Kind == rootfs.Hardlink {
				entries[i].Mode = 0o644
			}
			entries[i].UID, entries[i].GID = rapid.IntRange(0, 70000).Draw(rt, "uid"), rapid.IntRange(0, 70000).Draw(rt, "gid")
		}
		get := func(e *rootfs.Entry) ([]byte, error) { return texts[e.Digest], nil }
		var buf bytes.Buffer
		b, err := layer.Write(t.Context(), &buf, entries, get, layer.Compression{Kind: rapid.SampledFrom([]string{"gzip", "zstd", "none"}).Draw(rt, "compression")})
		if err != nil {
			rt.Fatal(err)
		}
		made, err := inventory.FromEntries(b.DiffID, entries, get)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := inventory.ReadLayer(t.Context(), &buf, b)
		if err != nil {
			rt.Fatal(err)
		}
		byPath := func(a, b inventory.File) int { return strings.Compare(a.Path, b.Path) }
		slices.SortFunc(made.Files, byPath)
		slices.SortFunc(got.Files, byPath)
		if !reflect.DeepEqual(made, got) {
			rt.Fatalf("entries give\n%+v\nthe layer\n%+v", made, got)
		}
	})
}
