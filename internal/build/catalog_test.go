package build

import (
	"strings"
	"testing"
	"testing/fstest"

	"distroless/internal/plan/lock"
)

const someDistros = "default: d1\ndistros:\n  d1: {codename: c, suites: [{name: c, archs: [amd64, arm64]}]}\n  d2: {codename: e, suites: [{name: e, archs: [amd64]}]}\n"

func load(t *testing.T, files map[string]string) (*Catalog, error) {
	t.Helper()
	m := fstest.MapFS{"distros.yaml": {Data: []byte(someDistros)}}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return LoadCatalog(m)
}

// A chain of definitions that cannot be followed says where it ends.
func TestChainErrors(t *testing.T) {
	c, err := load(t, map[string]string{
		"a.yaml": "name: a\nfrom: b\ndistros: {d1: {}}\n", "b.yaml": "name: b\nfrom: a\ndistros: {d1: {}}\n",
		"c.yaml": "name: c\nfrom: none\ndistros: {d1: {}}\n", "e.yaml": "name: e\ndistros: {d1: {}}\n", "f.yaml": "name: f\nfrom: e\ndistros: {d1: {}, d2: {}}\n",
		"g.yaml": "name: g\ncertificates: [x.crt]\ndistros: {d1: {}}\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ image, distro, want string }{
		{"a", "d1", "image a: from goes in a circle: a -> b -> a"},
		{"c", "d1", `image c: from: image "none": not known, expected one of a, b, c, e, f, g, or a definition file such as ./none.yaml`},
		{"e", "d2", "image e: not defined for d2, only for d1"},
		{"f", "d2", "image e: not defined for d2, only for d1"},
		{"g", "d1", "image g: certificates: image g: x.crt: expected a path below the definition's folder"},
		{"e-d2", "d1", `image "e-d2": not known; the name is e, and the distro is a flag: --distro d2`},
	} {
		if _, err := c.chain(tt.image, tt.distro); err == nil || err.Error() != tt.want {
			t.Errorf("%s for %s: error %v, want %s", tt.image, tt.distro, err, tt.want)
		}
	}
	if _, err := c.Distro("d3"); err == nil || err.Error() != `distro "d3": not known, expected one of d1, d2` {
		t.Error(err)
	}
	if _, err := LoadCatalog(fstest.MapFS{}); err == nil {
		t.Error("a catalogue without distros is taken")
	}
	wrong, err := load(t, map[string]string{"a.yaml": "nome: a\n", "b.yaml": "name: c\ndistros: {d1: {}}\n"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Image("a"); err == nil || !strings.HasPrefix(err.Error(), "catalog/a.yaml:1:1: ") {
		t.Error(err)
	}
	if _, err := wrong.Image("b"); err == nil || !strings.Contains(err.Error(), "call file and image alike") {
		t.Error(err)
	}
}

// A change below is a change of everything that stands on it.
func TestDigestsOfAChain(t *testing.T) {
	top := func(base string) string {
		c, err := load(t, map[string]string{"a.yaml": base, "b.yaml": "name: b\nfrom: a\ndistros: {d1: {}}\n"})
		if err != nil {
			t.Fatal(err)
		}
		chain, err := c.chain("b", "d1")
		if err != nil {
			t.Fatal(err)
		}
		return chain[1].digest
	}
	one := top("name: a\ndistros: {d1: {}}\n")
	if two := top("name: a\nenv: {A: b}\ndistros: {d1: {}}\n"); one == two {
		t.Error("the digest does not tell of a change below")
	}
	if two := top("name: a\ndistros: {d1: {}, d2: {}}\n"); one != two {
		t.Error("another distro changes the digest")
	}
}

// Layers must not appear and go with every update: each change of the grouping
// makes every user pull all of it again.
func TestChooseLayers(t *testing.T) {
	p := func(source string, kib int64) lock.Package {
		return lock.Package{Name: source + "-bin", Source: source, Size: kib << 10}
	}
	many := []lock.Package{p("s1", 2001), p("s2", 2002), p("s3", 2003), p("s4", 2004), p("s5", 2005), p("s6", 2006), p("s7", 2007), p("s8", 2008)}
	for _, tt := range []struct {
		name     string
		named    []string
		packages []lock.Package
		old      []string
		want     string
	}{
		{"over the bound", nil, []lock.Package{p("big", 1025), p("small", 1024)}, nil, "big"},
		{"together over it", nil, []lock.Package{p("two", 600), p("one", 300), p("two", 600)}, nil, "two"},
		{"stays above half", nil, []lock.Package{p("big", 513)}, []string{"big"}, "big"},
		{"dissolves below half", nil, []lock.Package{p("big", 512)}, []string{"big"}, ""},
		{"is not made below", nil, []lock.Package{p("big", 1000)}, []string{"other"}, ""},
		{"seven at most", nil, many, nil, "s2 s3 s4 s5 s6 s7 s8"},
		{"and the same seven", nil, many, []string{"s1", "s2", "s3", "s4", "s5", "s6", "s7"}, "s1 s2 s3 s4 s5 s6 s7"},
		{"named", []string{"small", "none", "small"}, []lock.Package{p("big", 5000), p("small", 1)}, nil, "small"},
	} {
		var old *lock.Cell
		if tt.old != nil {
			old = &lock.Cell{Layers: tt.old}
		}
		if got := strings.Join(chooseLayers(tt.named, tt.packages, old), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestIsFile(t *testing.T) {
	for arg, want := range map[string]bool{"static": false, "python3.13": false, "./static": true, "a/b": true, "x.yaml": true, "x.yml": true, "yaml": false} {
		if IsFile(arg) != want {
			t.Errorf("%s: %v", arg, !want)
		}
	}
}

// Two sets of parts must never have one key.
func TestMemoKey(t *testing.T) {
	if memoKey("a", "bc") == memoKey("ab", "c") || memoKey("a") == memoKey("a", "") || memoKey("1:a,") == memoKey("a") {
		t.Error("keys of different parts are the same")
	}
}
