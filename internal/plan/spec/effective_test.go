package spec_test

import (
	"reflect"
	"slices"
	"testing"

	"distroless/internal/plan/spec"
)

// effective is a definition as it holds for debian13.
func effective(t *testing.T, text string) spec.Effective {
	t.Helper()
	d, err := spec.Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.For("debian13")
	if err != nil {
		t.Fatal(err)
	}
	return spec.Effective{Name: d.Name, From: d.From, Distro: "debian13", Sect: s}
}

// What a distro says adds to lists and maps, and replaces single values and
// commands: half an entrypoint of one distro and half of another would run
// nothing.
func TestOverlay(t *testing.T) {
	e := effective(t, `
name: x
packages: [a]
archs: [amd64, arm64]
omit: [{package: o1, reason: r}]
slices: [{reason: s1, drop: [/1]}]
contents: [{path: /1, text: one}]
accounts: {users: [{name: u1, uid: 1, gid: 1, home: /}], groups: [{name: g1, gid: 1}]}
certificates: [c1]
env: {A: common, B: common}
labels: {l: common}
entrypoint: [/common]
cmd: [common]
workdir: /common
user: "1"
layers: [l1]
allow: [{check: link, path: /1, reason: r}]
debug: {packages: [d1], applets: /a1, shell: [/common], env: {D: common}}
distros:
  debian12: {packages: [never]}
  debian13:
    packages: [b]
    archs: [amd64]
    omit: [{package: o2, reason: r}]
    slices: [{reason: s2, drop: [/2]}]
    contents: [{path: /2, text: two}]
    accounts: {users: [{name: u2, uid: 2, gid: 1, home: /}]}
    certificates: [c2]
    env: {B: own}
    labels: {m: own}
    entrypoint: [/own, x]
    cmd: []
    workdir: /own
    user: "2"
    layers: [l2]
    allow: [{check: link, path: /2, reason: r}]
    debug: {packages: [d2], shell: [/own], env: {E: own}}
`)
	s := e.Sect
	for _, tt := range []struct {
		what      string
		got, want any
	}{
		{"packages", s.Packages, []string{"a", "b"}},
		{"archs", s.Archs, []string{"amd64"}},
		{"omit", []string{s.Omit[0].Package, s.Omit[1].Package}, []string{"o1", "o2"}},
		{"slices", []string{s.Slices[0].Reason, s.Slices[1].Reason}, []string{"s1", "s2"}},
		{"contents", []string{s.Contents[0].Path, s.Contents[1].Path}, []string{"/1", "/2"}},
		{"users", len(s.Accounts.Users), 2},
		{"groups", len(s.Accounts.Groups), 1},
		{"certificates", s.Certificates, []string{"c1", "c2"}},
		{"env", s.Env, map[string]string{"A": "common", "B": "own"}},
		{"labels", s.Labels, map[string]string{"l": "common", "m": "own"}},
		{"entrypoint", s.Entrypoint, []string{"/own", "x"}},
		{"cmd", s.Cmd, []string{}},
		{"workdir", s.Workdir, "/own"},
		{"user", s.User, "2"},
		{"layers", s.Layers, []string{"l1", "l2"}},
		{"allow", len(s.Allow), 2},
		{"debug packages", s.Debug.Packages, []string{"d1", "d2"}},
		{"debug applets", s.Debug.Applets, "/a1"},
		{"debug shell", s.Debug.Shell, []string{"/own"}},
		{"debug env", s.Debug.Env, map[string]string{"D": "common", "E": "own"}},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.what, tt.got, tt.want)
		}
	}
}

// The overlay of one distro must not leak into the next.
func TestOverlayLeavesTheDefinitionAlone(t *testing.T) {
	d, err := spec.Parse("f.yaml", []byte("name: x\npackages: [a]\nenv: {A: b}\ndebug: {env: {C: d}}\ndistros:\n  debian12: {packages: [b], env: {B: c}, debug: {env: {E: f}}}\n  debian13: {packages: [c]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		a, _ := d.For("debian12")
		b, _ := d.For("debian13")
		if !slices.Equal(a.Packages, []string{"a", "b"}) || !slices.Equal(b.Packages, []string{"a", "c"}) {
			t.Error(a.Packages, b.Packages)
		}
		if len(a.Env) != 2 || len(b.Env) != 1 || len(b.Debug.Env) != 1 {
			t.Error(a.Env, b.Env, b.Debug.Env)
		}
	}
	if _, err := d.For("debian14"); err == nil || err.Error() != "image x: not defined for debian14, only for debian12, debian13" {
		t.Error(err)
	}
}

// A lock's cell is outdated exactly when the digest differs: a change that is
// missed builds an image that its lock does not describe; one too many makes
// every lock of every user outdated.
func TestDigest(t *testing.T) {
	const plain = "name: x\npackages: [a]\ndescription: one\nentrypoint: [/a]\nenv: {A: b, C: d}\ndistros: {debian13: {}, debian12: {packages: [b]}}\n"
	base := effective(t, plain)
	for name, text := range map[string]string{
		"layout of the file":           "# comment\ndistros:\n  debian12:\n    packages: [b]\n  debian13: {}\nenv:\n  C: 'd'\n  A: b\nentrypoint: [\"/a\"]\nname: x\ndescription: one\npackages:\n  - a\n",
		"description":                  "name: x\npackages: [a]\ndescription: two\nentrypoint: [/a]\nenv: {A: b, C: d}\ndistros: {debian13: {}, debian12: {packages: [b]}}\n",
		"experimental and end of life": plain + "experimental: true\nend-of-life: soon\n",
		"another distro":               "name: x\npackages: [a]\nentrypoint: [/a]\nenv: {A: b, C: d}\ndistros: {debian13: {}, debian12: {packages: [z]}}\n",
		"common or the distro's own":   "name: x\npackages: [a]\nenv: {A: b}\ndistros: {debian13: {env: {C: d}, entrypoint: [/a]}}\n",
	} {
		if e := effective(t, text); e.Digest() != base.Digest() {
			t.Errorf("%s: another digest, though the image is the same", name)
		}
	}
	seen := map[string]string{base.Digest(): "nothing"}
	add := func(name string, e spec.Effective) {
		if other, dup := seen[e.Digest()]; dup {
			t.Errorf("%s: the same digest as with %s", name, other)
		}
		seen[e.Digest()] = name
	}
	const head = "name: x\npackages: [a]\nenv: {A: b, C: d}\ndistros: {debian13: {}}\n"
	for name, text := range map[string]string{
		"no entrypoint":    head,
		"empty entrypoint": head + "entrypoint: []\n",
		"empty cmd":        head + "cmd: []\n",
		"name":             "name: y\npackages: [a]\nentrypoint: [/a]\nenv: {A: b, C: d}\ndistros: {debian13: {}}\n",
		"package":          plain + "layers: [z]\n",
		"user":             plain + "user: \"7\"\n",
		"workdir":          plain + "workdir: /w\n",
		"labels":           plain + "labels: {a: b}\n",
		"omit":             plain + "omit: [{package: z, reason: r}]\n",
		"reason of omit":   plain + "omit: [{package: z, reason: 'another, which the lock repeats'}]\n",
		"slices":           plain + "slices: [{reason: r, drop: [/a]}]\n",
		"slices keep":      plain + "slices: [{reason: r, keep: [/a]}]\n",
		"contents":         plain + "contents: [{path: /a, text: ''}]\n",
		"contents text":    plain + "contents: [{path: /a, text: b}]\n",
		"contents mode":    plain + "contents: [{path: /a, text: b, mode: '0600'}]\n",
		"contents link":    plain + "contents: [{path: /a, link: b}]\n",
		"accounts":         plain + "accounts: {groups: [{name: g, gid: 5}]}\n",
		"certificates":     plain + "certificates: [c.crt]\n",
		"allow":            plain + "allow: [{check: link, path: /a, reason: r}]\n",
		"debug":            plain + "debug: {packages: [d]}\n",
		"debug shell":      plain + "debug: {shell: [/sh]}\n",
		"debug no shell":   plain + "debug: {shell: []}\n",
	} {
		add(name, effective(t, text))
	}
	below := base
	below.Base = "sha256:0"
	add("the image below", below)
	file := base
	file.Sums = spec.Sums{"c.crt": "00"}
	add("a file beside the definition", file)
	from := base
	from.From = "static"
	add("from", from)
	distro := base
	distro.Distro = "debian12"
	add("the distro", distro)
}

func TestSuites(t *testing.T) {
	ds, err := spec.ParseDistros("d.yaml", []byte(`
default: d
distros:
  d:
    codename: c
    suites:
      - {name: c, archs: [amd64, arm64]}
      - {name: c-security, archive: security, components: [main, contrib], archs: [amd64]}
`))
	if err != nil {
		t.Fatal(err)
	}
	d := ds.Distros["d"]
	if got := d.SuitesFor("amd64"); len(got) != 2 || got[0].Archive != "main" || got[0].Components[0] != "main" || got[1].Archive != "security" || len(got[1].Components) != 2 {
		t.Errorf("amd64: %+v", got)
	}
	if got := d.SuitesFor("arm64"); len(got) != 1 {
		t.Errorf("arm64: %+v", got)
	}
	if got := d.SuitesFor("vax"); got != nil {
		t.Errorf("vax: %+v", got)
	}
}
