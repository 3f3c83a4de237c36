package spec_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"distroless/catalog"
	"distroless/internal/plan/spec"
)

// distros is what every definition needs.
const distros = "distros: {debian13: {}}\n"

// Each wrong definition is refused with its place, what was found and what was
// expected: somebody mends a definition from that line alone.
func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "f.yaml: the file is empty: expected a mapping with at least `name`"},
		{"only a comment", "# nothing\n", "f.yaml: the file is empty: expected a mapping with at least `name`"},
		{"a list", "- a\n", "f.yaml:1:1: the definition: a list, expected a mapping"},
		{"a word", "static\n", `f.yaml:1:1: the definition: the value "static", expected a mapping`},
		{"not YAML", "name: [x\n", "f.yaml:2:1: not YAML: while parsing a flow sequence: did not find expected ',' or ']'"},
		{"a tab", "name: x\nenv:\n\tA: b\n", "f.yaml:3:1: not YAML: while scanning for the next token: found character that cannot start any token"},
		{"unknown key", "name: x\npackage: [a]\n" + distros, "f.yaml:2:1: unknown key \"package\": expected one of packages, accounts, allow, "},
		{"unknown key below", "name: x\nomit:\n  - {packge: a, reason: b}\n" + distros, "f.yaml:3:6: unknown key \"packge\" in omit[0]: expected one of package, reason\nf.yaml"},
		{"key in a distro", "name: x\ndistros:\n  debian13: {name: y}\n", "f.yaml:3:14: unknown key \"name\" in distros.debian13: expected one of "},
		{"key twice", "name: x\nname: y\n" + distros, `f.yaml:2:1: key "name" is given twice, first on line 1`},
		{"variable twice", "name: x\nenv:\n  A: 1\n  A: 2\n" + distros, `f.yaml:4:3: key "A" in env is given twice, first on line 3`},
		{"key that is a list", "name: x\nenv:\n  [a]: b\n" + distros, "f.yaml:3:3: env: a key must be plain text"},
		{"text for a list", "name: x\npackages: libc6\n" + distros, "f.yaml:2:11: packages: the value \"libc6\", expected a list (\"- ...\" lines, or [a, b])"},
		{"mapping for a list", "name: x\nentrypoint: {a: b}\n" + distros, "f.yaml:2:13: entrypoint: a mapping, expected a list (\"- ...\" lines, or [a, b])"},
		{"list for a mapping", "name: x\nenv: [A=1]\n" + distros, "f.yaml:2:6: env: a list, expected a mapping"},
		{"list for text", "name: x\nuser: [1]\n" + distros, "f.yaml:2:7: user: a list, expected text"},
		{"mapping in a list of text", "name: x\npackages: [a: b]\n" + distros, "f.yaml:2:12: packages[0]: a mapping, expected text"},
		{"number", "name: x\naccounts: {users: [{name: a, uid: ten, gid: 1, home: /}]}\n" + distros, `f.yaml:2:35: accounts.users[0].uid: "ten", expected a whole number`},
		{"yes is no truth", "name: x\nexperimental: yes\n" + distros, `f.yaml:2:15: experimental: "yes", expected true or false`},
		{"alias", "name: x\npackages: &p [a]\nlayers: *p\n" + distros, "f.yaml:3:9: layers: an alias: write the value out, so that a reader sees it where it counts"},
		{"no name", "from: static\n" + distros, `f.yaml:1:1: name: "", expected lower case letters, digits, '.' and '-', as in python3`},
		{"name", "name: Python 3\n" + distros, `f.yaml:1:7: name: "Python 3", expected lower case letters, digits, '.' and '-', as in python3`},
		{"name with a slash", "name: a/b\n" + distros, `f.yaml:1:7: name: "a/b", expected lower case letters`},
		{"from itself", "name: x\nfrom: x\n" + distros, `f.yaml:2:7: from: "x" stands on itself`},
		{"no distros", "name: x\n", "f.yaml:1:7: no `distros`: expected those that the image is for, such as `distros: {debian13: {}}`"},
		{"architecture", "name: x\narchs: [amd64, vax]\n" + distros, `f.yaml:2:16: archs: architecture "vax": not known, expected one of amd64, `},
		{"package's name", "name: x\npackages: [libc6, Foo Bar]\n" + distros, "f.yaml:2:19: packages[1]: "},
		{"empty package", "name: x\npackages:\n  -\n" + distros, "f.yaml:3:4: packages[0]: empty: write the item, or take its dash away"},
		{"blank package", "name: x\npackages: ['']\n" + distros, "f.yaml:2:12: packages[0]: empty: expected a name, or a relation as in Depends: libc6 (>= 2.41)"},
		{"debug package", "name: x\ndebug:\n  packages: [a (>= )]\n" + distros, "f.yaml:3:14: packages[0]: "},
		{"omit without reason", "name: x\nomit: [{package: awk}]\n" + distros, "f.yaml:2:8: omit[0]: no `reason`: say why the image works without awk"},
		{"slice without reason", "name: x\nslices: [{drop: [/a]}]\n" + distros, "f.yaml:2:10: slices[0]: no `reason`: say why the files are not needed, or are"},
		{"slice without rule", "name: x\nslices: [{reason: r}]\n" + distros, "f.yaml:2:10: slices[0]: no `drop`, `keep`, `keep-referenced` or `move`"},
		{"relative pattern", "name: x\nslices: [{reason: r, drop: [usr/**]}]\n" + distros, `f.yaml:2:10: slices[0]: pattern "usr/**": expected an absolute path with *, ? or **`},
		{"broken pattern", "name: x\nslices: [{reason: r, keep: ['/a[']}]\n" + distros, `f.yaml:2:10: slices[0]: pattern "/a[": expected an absolute path with *, ? or **`},
		{"move without package", "name: x\nslices: [{reason: r, move: {/a: /b}}]\n" + distros, "f.yaml:2:10: slices[0]: `move` needs a `package`"},
		{"move to nowhere", "name: x\nslices: [{package: p, reason: r, move: {/a: b}}]\n" + distros, `f.yaml:2:10: slices[0]: move "/a" to "b": expected absolute paths`},
		{"script's digest", "name: x\nscripts: [{package: p, script: postinst, digest: sha256:12, effect: none, reason: r}]\n" + distros, "f.yaml:2:11: scripts[0]: no `digest: sha256:...`: take the lines that the failing build prints"},
		{"allowance", "name: x\nallow: [{check: link, path: /a}]\n" + distros, "f.yaml:2:9: allow[0]: no `reason`: say why the finding does no harm"},
		{"content twice", "name: x\ncontents: [{path: /a, text: b, link: c}]\n" + distros, "f.yaml:2:12: contents: /a: expected exactly one of `text`, `source`, `link` and `directory`, found 2"},
		{"content of nothing", "name: x\ncontents: [{path: /a}]\n" + distros, "f.yaml:2:12: contents: /a: expected exactly one of `text`, `source`, `link` and `directory`, found 0"},
		{"content's path", "name: x\ncontents: [{path: /a/../b, text: c}]\n" + distros, `f.yaml:2:12: contents: path "/a/../b", expected a clean absolute path`},
		{"content's mode", "name: x\ncontents: [{path: /a, text: c, mode: rw}]\n" + distros, `f.yaml:2:12: contents: /a: mode "rw", expected octal such as "0644"`},
		{"content from outside", "name: x\ncontents: [{path: /a, source: ../../etc}]\n" + distros, `f.yaml:2:12: contents: /a: source "../../etc", expected a path below the definition's folder`},
		{"content from the machine", "name: x\ncontents: [{path: /a, source: /etc/passwd}]\n" + distros, `f.yaml:2:12: contents: /a: source "/etc/passwd", expected a path below the definition's folder`},
		{"content's owner", "name: x\ncontents: [{path: /a, text: c, uid: -1}]\n" + distros, "f.yaml:2:12: contents: /a: uid and gid must not be negative"},
		{"user's name", "name: x\naccounts: {users: [{name: 'a:b', uid: 1, gid: 1, home: /}]}\n" + distros, `f.yaml:2:20: user "a:b": name, home and shell must not be empty or hold ':'`},
		{"user's number", "name: x\naccounts: {users: [{name: a, uid: -1, gid: 1, home: /}]}\n" + distros, "f.yaml:2:20: user a: uid and gid must not be negative"},
		{"group's name", "name: x\naccounts: {groups: [{name: '', gid: 1}]}\n" + distros, `f.yaml:2:21: group "": the name must not be empty or hold ':'`},
		{"group's number", "name: x\naccounts: {groups: [{name: a, gid: -5}]}\n" + distros, "f.yaml:2:21: group a: gid must not be negative"},
		{"variable's name", "name: x\nenv: {'A=B': c}\n" + distros, `f.yaml:2:6: env: "A=B" is not a variable's name`},
		{"folder", "name: x\nworkdir: app\n" + distros, `f.yaml:2:10: workdir: "app", expected an absolute path`},
		{"user by name", "name: x\nuser: nonroot\n" + distros, `f.yaml:2:7: user: "nonroot", expected a number or number:number, as in "1000" or "1000:1000"`},
		{"applets", "name: x\ndebug: {applets: busybox}\n" + distros, `f.yaml:2:18: applets: "busybox", expected an absolute path`},
		{"in a distro", "name: x\ndistros:\n  debian13:\n    contents:\n      - {path: a, text: b}\n", `f.yaml:5:9: contents: path "a", expected a clean absolute path`},
		{"several, from the top down", "name: X\nworkdir: w\ndistros:\n  debian13: {workdir: b}\n  debian12: {workdir: a}\n",
			"f.yaml:1:7: name: \"X\", expected lower case letters, digits, '.' and '-', as in python3\nf.yaml:2:10: workdir: \"w\", expected an absolute path\nf.yaml:4:23: workdir: \"b\", expected an absolute path\nf.yaml:5:23: workdir: \"a\", expected an absolute path"},
		{"too long", "name: x\n#" + strings.Repeat("x", 1<<20), "f.yaml: 1048585 bytes, more than the 1048576 that a definition may have"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := spec.Parse("f.yaml", []byte(tt.text))
			if err == nil {
				t.Fatalf("taken as %+v", d)
			}
			// Where the list of keys or another package's words follow, the
			// beginning is what counts.
			want := strings.TrimSuffix(tt.want, "\nf.yaml")
			if got := err.Error(); got != want && !(strings.HasPrefix(got, want) && !strings.Contains(got, "\n")) {
				t.Errorf("error\n%s\nwant\n%s", got, tt.want)
			}
			var e *spec.Error
			if !errors.As(err, &e) || e.File != "f.yaml" {
				t.Errorf("%T is no *spec.Error of f.yaml", err)
			}
		})
	}
}

// The catalogue inside the program can be read, and every image in it is what
// its file says.
func TestCatalogue(t *testing.T) {
	names, err := fs.Glob(catalog.Files, "*.yaml")
	if err != nil || len(names) < 5 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(catalog.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "distros.yaml" {
			if _, err := spec.ParseDistros(name, data); err != nil {
				t.Error(err)
			}
			continue
		}
		d, err := spec.Parse(name, data)
		if err != nil {
			t.Error(err)
			continue
		}
		if d.Name+".yaml" != name {
			t.Errorf("%s defines %s", name, d.Name)
		}
		if d.Description == "" {
			t.Errorf("%s: no description for `distroless list`", name)
		}
	}
}

func TestParseDistrosErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"default: a\ndistros: {b: {codename: c, suites: [{name: n, archs: [amd64]}]}}", `d.yaml:1:10: default: "a" is not one of the distros`},
		{"default: a\ndistros: {a: }", "d.yaml:2:14: distro a: empty"},
		{"default: a\ndistros: {a: {codename: c}}", "d.yaml:2:14: distro a: no `codename` or no `suites`"},
		{"default: a\ndistros: {a: {codename: c, suites: [{name: n}]}}", "d.yaml:2:37: distro a: suite 0: no `name` or no `archs`"},
		{"default: a\ndistros: {a: {codename: c, suite: []}}", `d.yaml:2:28: unknown key "suite" in distros.a: expected one of suites, `},
	} {
		_, err := spec.ParseDistros("d.yaml", []byte(tt.text))
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s\nerror %v\nwant  %s", tt.text, err, tt.want)
		}
	}
}

// A mode may be written with or without quotes and with or without the zero:
// YAML's own idea of octal must not turn 0644 into another number.
func TestScalars(t *testing.T) {
	for text, want := range map[string]string{"0644": "0644", `"0644"`: "0644", "644": "644", "1777": "1777"} {
		d, err := spec.Parse("f.yaml", []byte("name: x\ncontents: [{path: /a, text: '', mode: "+text+"}]\n"+distros))
		if err != nil {
			t.Errorf("mode %s: %v", text, err)
		} else if got := d.Contents[0].Mode; got != want {
			t.Errorf("mode %s is read as %s", text, got)
		}
	}
	for text, want := range map[string]string{"65532:65532": "65532:65532", "1000": "1000", `"0"`: "0", "12:30": "12:30"} {
		d, err := spec.Parse("f.yaml", []byte("name: x\nuser: "+text+"\n"+distros))
		if err != nil {
			t.Errorf("user %s: %v", text, err)
		} else if d.User != want {
			t.Errorf("user %s is read as %s", text, d.User)
		}
	}
	d, err := spec.Parse("f.yaml", []byte("name: x\nenv: {VERSION: 1.10, YES: yes, EMPTY: , TRUE: true}\n"+distros))
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{"VERSION": "1.10", "YES": "yes", "EMPTY": "", "TRUE": "true"} {
		if got, ok := d.Env[k]; !ok || got != want {
			t.Errorf("env %s is %q, want %q", k, got, want)
		}
	}
}

func TestParseArch(t *testing.T) {
	for name, want := range map[string]spec.Platform{
		"amd64": {Debian: "amd64", OCI: "amd64"}, "arm64": {Debian: "arm64", OCI: "arm64", Variant: "v8"},
		"arm": {Debian: "armhf", OCI: "arm", Variant: "v7"}, "armhf": {Debian: "armhf", OCI: "arm", Variant: "v7"},
		"ppc64le": {Debian: "ppc64el", OCI: "ppc64le"}, "ppc64el": {Debian: "ppc64el", OCI: "ppc64le"},
		"386": {Debian: "i386", OCI: "386"}, "s390x": {Debian: "s390x", OCI: "s390x"}, "riscv64": {Debian: "riscv64", OCI: "riscv64"},
	} {
		if got, err := spec.ParseArch(name); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := spec.ParseArch("x86_64"); err == nil || !strings.HasPrefix(err.Error(), `architecture "x86_64": not known, expected one of amd64, arm64, armhf, `) {
		t.Error(err)
	}
}

// A definition that is taken can be used for its distros, and its digest does
// not depend on the run.
func FuzzParse(f *testing.F) {
	names, _ := fs.Glob(catalog.Files, "*.yaml")
	for _, n := range names {
		data, _ := fs.ReadFile(catalog.Files, n)
		f.Add(data)
	}
	f.Add([]byte("name: x\nslices: [{reason: r, drop: [/**]}]\ndistros: {debian13: {env: {A: b}, debug: {shell: []}}}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("name: x\n<<: {from: y}\ndistros: {d: ~}\n"))
	f.Add([]byte("%YAML 1.2\n---\nname: !!binary eA==\n...\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := spec.ParseDistros("d.yaml", data); err != nil && err.Error() == "" {
			t.Error("an error without text")
		}
		d, err := spec.Parse("f.yaml", data)
		if err != nil {
			var e *spec.Error
			if !errors.As(err, &e) {
				t.Errorf("%T: %v", err, err)
			}
			return
		}
		for _, distro := range d.DistroNames() {
			s, err := d.For(distro)
			if err != nil {
				t.Fatal(err)
			}
			e := spec.Effective{Name: d.Name, Distro: distro, Sect: s}
			if first, second := e.Digest(), e.Digest(); first != second {
				t.Error("two digests of one definition")
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	data, err := fs.ReadFile(catalog.Files, "static.yaml")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := spec.Parse("static.yaml", data); err != nil {
			b.Fatal(err)
		}
	}
}
