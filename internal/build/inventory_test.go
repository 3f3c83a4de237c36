package build

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"distroless/internal/oci/layer"
	"distroless/internal/oci/layout"
	"distroless/internal/trust/inventory"
	images "distroless/internal/trust/source"
)

// inventories reads an image of a layout twice: with what is remembered of its
// layers, and without. It returns how many layers were not remembered.
func inventories(t *testing.T, cache, dir, tag string) (known, read *inventory.Inventory, missed int) {
	t.Helper()
	s, err := images.Open(dir + ":" + tag)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list, err := images.Images(t.Context(), s, d)
	if err != nil {
		t.Fatal(err)
	}
	memory := OpenInventories(cache)
	r := inventory.Reader{NoMD5: true, Jobs: 1, Known: func(digest string) *inventory.Layer { return memory.Layer(digest) }}
	if known, err = r.Read(t.Context(), list[0]); err != nil {
		t.Fatal(err)
	}
	if read, err = (&inventory.Reader{NoMD5: true}).Read(t.Context(), list[0]); err != nil {
		t.Fatal(err)
	}
	for _, l := range list[0].Manifest.Layers {
		if memory.Layer(l.Digest.String()) == nil {
			missed++
		}
	}
	return known, read, missed
}

// What a build remembers of its layers is what reading them gives, of every
// variant, and every file in them has an owner that the image names. If it fails,
// an SBOM depends on which cache the machine has, or has files of nobody.
func TestInventories(t *testing.T) {
	b := newBench(t)
	golden := goldenImages(b)
	cache := t.TempDir()
	dir := filepath.Join(t.TempDir(), "image")
	for _, kind := range []string{"gzip", "zstd", "none"} {
		for _, m := range b.build(cache, func(o *Options) { o.Compression = layer.Compression{Kind: kind} }, golden, "cc", "static") {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := layout.Write(t.Context(), dir, m.Layout()); err != nil {
				t.Fatal(err)
			}
			for _, v := range m.Variants {
				known, read, missed := inventories(t, cache, dir, v+"-amd64")
				if missed > 0 {
					t.Errorf("%s %s %s: %d layers are not remembered", m.Image, v, kind, missed)
				}
				checkLists(t, m.Image+" "+v, dir+":"+v+"-amd64")
				if !reflect.DeepEqual(known, read) {
					t.Errorf("%s %s %s: remembered\n%+v\nread\n%+v", m.Image, v, kind, known, read)
				}
				checkOwners(t, m.Image+" "+v, read)
			}
		}
	}
}

// checkOwners finds files that neither a package's list nor a level's names.
func checkOwners(t *testing.T, what string, v *inventory.Inventory) {
	t.Helper()
	var nobody []string
	for _, f := range v.Files {
		if f.Kind == inventory.Regular && (f.Owner == "" || strings.HasPrefix(f.Owner, "level ") || f.Owner == "unlisted") {
			nobody = append(nobody, f.Path+" of "+f.Owner)
		}
	}
	if len(nobody) > 0 {
		t.Errorf("%s: files of nobody: %q", what, nobody)
	}
	if !slices.ContainsFunc(v.Files, func(f inventory.File) bool { return f.Generated && f.Owner == "accounts" }) {
		t.Errorf("%s: no file is of the accounts", what)
	}
}

// checkLists holds the packages' own lists against the files that they own: each
// is listed, and with the digest that it has.
func checkLists(t *testing.T, what, ref string) {
	t.Helper()
	s, err := images.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list, err := images.Images(t.Context(), s, d)
	if err != nil {
		t.Fatal(err)
	}
	v, err := (&inventory.Reader{}).Read(t.Context(), list[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range v.Files {
		if f.Kind == inventory.Regular && !f.Generated && v.Package(f.Owner).Sums[f.Path] != f.MD5 {
			t.Errorf("%s: %s of %s has md5 %s, the package's list says %q", what, f.Path, f.Owner, f.MD5, v.Package(f.Owner).Sums[f.Path])
		}
	}
	for _, p := range v.Packages {
		for path := range p.Sums {
			if f := v.File(path); f == nil || f.Owner != p.Name {
				t.Errorf("%s: package %s lists %s, which is not its own: %+v", what, p.Name, path, f)
			}
		}
	}
}

// A cache that has lost or damaged what it remembered costs time, and gives the
// same inventory.
func TestLostInventories(t *testing.T) {
	b := newBench(t)
	cache := t.TempDir()
	m := b.build(cache, nil, "static")[0]
	dir := filepath.Join(t.TempDir(), "image")
	if err := layout.Write(t.Context(), dir, m.Layout()); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(filepath.Join(cache, "memo", "inventory"), func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		data[len(data)-1] ^= 1
		return os.WriteFile(p, data, 0o644)
	}); err != nil {
		t.Fatal(err)
	}
	known, read, missed := inventories(t, cache, dir, "latest-amd64")
	if missed == 0 || !reflect.DeepEqual(known, read) {
		t.Errorf("%d layers missed; with a damaged memory\n%+v\nread\n%+v", missed, known, read)
	}
	remove(t, cache, "memo")
	if known, read, _ = inventories(t, cache, dir, "latest-amd64"); !reflect.DeepEqual(known, read) {
		t.Error("without a memory another inventory")
	}
}
