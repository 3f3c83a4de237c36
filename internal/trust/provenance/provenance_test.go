package provenance_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"distroless/internal/plan/lock"
	"distroless/internal/trust/provenance"
)

func hex(s string) string { return strings.Repeat(s, 64/len(s)) }

func sample() (*lock.Lock, *provenance.Recipe) {
	suite := []lock.Suite{{Suite: "trixie", Date: time.Unix(1.7e9, 0), Release: hex("ab"), Keyring: hex("cd")}}
	pkg := func(name, source string) lock.Package {
		return lock.Package{Name: name, Version: "1:2+b1", Arch: "amd64", Source: source, Suite: "trixie", Path: "pool/main/" + name + "_2_amd64.deb", Size: 7, SHA256: hex("0" + name[:1])}
	}
	l := &lock.Lock{Cells: map[lock.Key]*lock.Cell{
		{Image: "static", Distro: "debian13", Arch: "amd64"}: {Definition: "sha256:" + hex("1"), Archive: suite, Packages: []lock.Package{pkg("a1", ""), pkg("b1", "src")}, Debug: []lock.Package{pkg("d1", "")}},
		{Image: "base", Distro: "debian13", Arch: "amd64"}:   {Definition: "sha256:" + hex("2"), From: "static", Archive: suite, Packages: []lock.Package{pkg("c1", "")}},
		{Image: "other", Distro: "debian13", Arch: "amd64"}:  {Definition: "sha256:" + hex("3"), Archive: suite, Packages: []lock.Package{pkg("e1", "")}},
	}}
	part, err := provenance.Subset(l, "base", "debian13", []string{"amd64"})
	if err != nil {
		panic(err) // the lock above has the cells
	}
	return part, &provenance.Recipe{Image: "base", Distro: "debian13", Variant: "latest", Archs: []string{"amd64"}, Compression: "gzip",
		Lock: string(part.Bytes()), Definitions: map[string]string{"base.yaml": "name: base\nfrom: static\n", "static.yaml": "name: static\n", "distros.yaml": "x"},
		Files: map[string]provenance.File{"ca.pem": {Data: []byte("pem")}}}
}

func build(t *testing.T, variant string) *provenance.Statement {
	t.Helper()
	l, r := sample()
	r.Variant = variant
	s, err := provenance.Build(provenance.Input{Name: "base-debian13", Digest: "sha256:" + hex("f"), Recipe: r, Lock: l, Distro: "debian-13", Version: "1.2.3",
		Byproducts: map[string]string{"application/spdx+json": strings.Repeat("ab", 32)}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestBuild: if it fails, what an image was made of cannot be told from it.
func TestBuild(t *testing.T) {
	s := build(t, "latest")
	if !s.About("sha256:"+hex("f")) || s.About("sha256:"+hex("e")) {
		t.Error("the statement is not about the image")
	}
	p, err := s.Provenance()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range p.BuildDefinition.ResolvedDependencies {
		got = append(got, r.Name)
	}
	want := "lock, definition base.yaml, definition distros.yaml, definition static.yaml, file ca.pem, Release of trixie, a1_2_amd64.deb, b1_2_amd64.deb, c1_2_amd64.deb"
	if strings.Join(got, ", ") != want {
		t.Errorf("materials %q, want %q", got, want)
	}
	b1 := p.BuildDefinition.ResolvedDependencies[7]
	if b1.URI != "pkg:deb/debian/b1@1:2%2Bb1?arch=amd64&distro=debian-13&upstream=src" || b1.Digest["sha256"] != hex("0b") || b1.Annotations["suite"] != "trixie" {
		t.Errorf("a package: %+v", b1)
	}
	if len(p.BuildDefinition.InternalParameters.Cells) != 2 || p.RunDetails.Builder.Version["distroless"] != "1.2.3" || p.RunDetails.Byproducts[0].Name != "application/spdx+json" {
		t.Errorf("predicate %+v", p)
	}
	debug, err := build(t, "debug").Provenance()
	if err != nil || len(debug.BuildDefinition.ResolvedDependencies) != len(got)+1 {
		t.Errorf("a debug variant has not the debug packages: %v", err)
	}
	a, err := s.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := build(t, "latest").Bytes(); err != nil || !bytes.Equal(a, b) {
		t.Errorf("other bytes the second time: %v", err)
	}
}

// TestRecipe: a recipe survives a round trip, and one that was altered into
// something that cannot be built is refused.
func TestRecipe(t *testing.T) {
	_, r := sample()
	back, l, err := provenance.ParseRecipe(r.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(back.Bytes(), r.Bytes()) || string(l.Bytes()) != r.Lock {
		t.Error("the recipe came back changed")
	}
	for what, change := range map[string]func(string) string{
		"another image":   func(s string) string { return strings.Replace(s, `"image":"base"`, `"image":"none"`, 1) },
		"another version": func(s string) string { return strings.Replace(s, `"version":1`, `"version":2`, 1) },
		"no architecture": func(s string) string { return strings.Replace(s, `["amd64"]`, `[]`, 1) },
		"a circle":        func(s string) string { return strings.ReplaceAll(s, `\"from\": \"static\"`, `\"from\": \"base\"`) },
		"text behind":     func(s string) string { return s + "{}" },
		"unknown key":     func(s string) string { return strings.Replace(s, `"distro"`, `"x":1,"distro"`, 1) },
		"a broken lock":   func(s string) string { return strings.Replace(s, `\"cells\"`, `\"cell\"`, 1) },
	} {
		if _, _, err := provenance.ParseRecipe([]byte(change(string(r.Bytes())))); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func FuzzParseRecipe(f *testing.F) {
	_, r := sample()
	f.Add(r.Bytes())
	f.Add([]byte(`{"version":1,"image":"a","distro":"b","variant":"c","archs":["d"],"lock":"{}"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, _, err := provenance.ParseRecipe(data); err == nil {
			if _, _, err := provenance.ParseRecipe(r.Bytes()); err != nil {
				t.Errorf("not read back: %v", err)
			}
		}
	})
}
