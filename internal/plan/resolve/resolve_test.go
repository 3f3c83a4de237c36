package resolve

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"distroless/internal/debian/index"
	"distroless/internal/debian/relation"
)

// packages reads a small archive, a package a line:
//
//	name version; Field: value; Field: value
//
// with the fields of a control file, and Suite.
func packages(t testing.TB, text string) []*index.Package {
	t.Helper()
	var all []*index.Package
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		parts := strings.Split(line, ";")
		name, version, ok := strings.Cut(parts[0], " ")
		if !ok {
			t.Fatalf("%q has no version", line)
		}
		p := &index.Package{Name: name, Version: version, Arch: "amd64", Suite: "trixie", Priority: "optional"}
		for _, part := range parts[1:] {
			field, value, _ := strings.Cut(part, ":")
			value = strings.TrimSpace(value)
			switch strings.TrimSpace(field) {
			case "Depends":
				p.Depends = value
			case "Pre-Depends":
				p.PreDepends = value
			case "Conflicts":
				p.Conflicts = value
			case "Breaks":
				p.Breaks = value
			case "Provides":
				p.Provides = value
			case "Multi-Arch":
				p.MultiArch = value
			case "Architecture":
				p.Arch = value
			case "Priority":
				p.Priority = value
			case "Suite":
				p.Suite = value
			default:
				t.Fatalf("%q: field %q is not known", line, field)
			}
		}
		all = append(all, p)
	}
	return all
}

func groups(t testing.TB, text string) []relation.Group {
	t.Helper()
	g, err := relation.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// chosen writes a result as "a=1 b=2".
func chosen(r *Result) string {
	var names []string
	for _, c := range r.Packages {
		names = append(names, c.Name+"="+c.Version)
	}
	return strings.Join(names, " ")
}

// setup is a request as text.
type setup struct {
	have, want, base string
	pins             map[string]string
	omit             []Omission
}

func (c setup) request(t testing.TB) Request {
	return Request{Arch: "amd64", Available: packages(t, c.have), Wanted: groups(t, c.want), Base: packages(t, c.base), Pinned: c.pins, Omit: c.omit}
}

// Each case is an image that would lack a package, or hold one too many.
func TestResolve(t *testing.T) {
	for _, c := range []struct {
		name string
		setup
		result string
	}{
		{"depends and pre-depends", setup{have: "a 1; Depends: b\nb 1; Pre-Depends: c\nc 1\nd 1", want: "a"}, "a=1 b=1 c=1"},
		{"asked for twice", setup{have: "a 1; Depends: b, b, b (>= 1)\nb 1", want: "a, a, b"}, "a=1 b=1"},
		{"circle", setup{have: "a 1; Depends: b\nb 1; Depends: c\nc 1; Depends: a", want: "b"}, "a=1 b=1 c=1"},
		{"architecture all", setup{have: "a 1; Architecture: all; Depends: b\nb 1", want: "a"}, "a=1 b=1"},
		{"another architecture", setup{have: "a 1\na 2; Architecture: arm64", want: "a"}, "a=1"},
		{"the highest version, not the first suite", setup{have: "a 1.9\na 1.10; Suite: trixie-security\na 1.2; Suite: trixie-updates", want: "a"}, "a=1.10"},
		{"constraint without spaces", setup{have: "a 1; Depends: b(>=1)\nb 1", want: "a"}, "a=1 b=1"},

		{"first alternative", setup{have: "a 1; Depends: b | c\nb 1\nc 1", want: "a"}, "a=1 b=1"},
		{"alternative that is not there", setup{have: "a 1; Depends: b | c\nc 1", want: "a"}, "a=1 c=1"},
		{"alternative in a version that is not there", setup{have: "a 1; Depends: b (>= 2) | c\nb 1\nc 1", want: "a"}, "a=1 c=1"},
		{"alternative chosen before", setup{have: "a 1; Depends: b | c\nb 1\nc 1", want: "c, a"}, "a=1 c=1"},
		{"alternative chosen after", setup{have: "a 1; Depends: b | c\nb 1\nc 1", want: "a, c"}, "a=1 c=1"},
		{"alternative chosen later by a decision", setup{have: "a 1; Depends: b | c\nb 1\nc 1\nd 1; Depends: e | f\ne 1; Depends: c\nf 1", want: "a, d"}, "a=1 c=1 d=1 e=1"},
		{"alternative of the definition", setup{have: "a 1\nb 1", want: "x | b | a"}, "b=1"},
		{"alternative that brings the other", setup{have: "a 1; Depends: default | virtual\ndefault 1; Depends: b\nb 1; Provides: virtual\nc 1; Provides: virtual", want: "a"}, "a=1 b=1 default=1"},

		{"provider", setup{have: "a 1; Depends: v\nb 1; Provides: v", want: "a"}, "a=1 b=1"},
		{"real before provider", setup{have: "a 1; Depends: v\nb 1; Provides: v\nv 1", want: "a"}, "a=1 v=1"},
		{"real in the wrong version, provider", setup{have: "a 1; Depends: v (>= 2)\nb 1; Provides: v (= 2)\nv 1", want: "a"}, "a=1 b=1"},
		{"unversioned provides do not meet a version", setup{have: "a 1; Depends: v (>= 1)\nb 1; Provides: v\nc 1; Provides: v (= 1)", want: "a"}, "a=1 c=1"},
		{"versioned provides meet any", setup{have: "a 1; Depends: v\nc 1; Provides: v (= 1)", want: "a"}, "a=1 c=1"},
		{"provider does not stay when a real one is wanted", setup{have: "a 1; Depends: v\nb 1; Provides: v\nv 1", want: "a, v"}, "a=1 v=1"},
		{"provider chosen early does not stay", setup{have: "a 1; Depends: v\nb 1; Provides: v\nc 1; Provides: v\nd 1; Depends: x | y\nx 1; Depends: c\ny 1", want: "a, d"}, "a=1 c=1 d=1 x=1"},
		{"wanted by name though provided", setup{have: "a 1\nb 1; Provides: a", want: "b, a"}, "a=1 b=1"},
		{"wanted and only provided", setup{have: "b 1; Provides: a", want: "a"}, "b=1"},
		{"provider by priority, then by name", setup{have: "a 1; Depends: v, w\nb 1; Provides: v\nm 1; Provides: v; Priority: required\ny 1; Provides: w\nx 1; Provides: w", want: "a"}, "a=1 m=1 x=1"},
		{"provider of the newest version only", setup{have: "a 1; Depends: v\nb 1; Provides: v\nb 2\nc 1; Provides: v", want: "a"}, "a=1 c=1"},
		{"provides itself", setup{have: "a 1; Depends: v\nb 1; Provides: v, b (= 5); Depends: b (>= 3)", want: "a"}, "a=1 b=1"},

		{"any of an allowed package", setup{have: "a 1; Depends: b:any\nb 1; Multi-Arch: allowed", want: "a"}, "a=1 b=1"},
		{"any of a foreign package", setup{have: "a 1; Depends: b:any (>= 1)\nb 1; Multi-Arch: foreign", want: "a"}, "a=1 b=1"},
		{"any, alternative", setup{have: "a 1; Depends: b:any | c:any\nb 1; Multi-Arch: same\nc 1; Multi-Arch: allowed", want: "a"}, "a=1 c=1"},
		{"native and own architecture", setup{have: "a 1; Depends: b:native, c:amd64\nb 1\nc 1; Multi-Arch: same", want: "a"}, "a=1 b=1 c=1"},
		{"restrictions of the definition", setup{have: "a 1\nb 1\nc 1", want: "a [amd64], b [arm64], x [!amd64] | c [any-amd64]"}, "a=1 c=1"},

		{"version of the definition", setup{have: "a 1\na 2\nb 1; Depends: a", want: "b, a (<< 2)"}, "a=1 b=1"},
		{"versions of the definition", setup{have: "a 1\na 2\na 3", want: "a (>= 1), a (<< 3), a"}, "a=2"},

		{"base meets relations", setup{have: "a 1; Depends: b, c\nb 2\nc 1", want: "a", base: "b 1"}, "a=1 c=1"},
		{"base meets what is wanted", setup{have: "b 2", want: "b", base: "b 1; Depends: x"}, ""},
		{"base meets an alternative", setup{have: "a 1; Depends: c | b\nc 1", want: "a", base: "b 1"}, "a=1"},
		{"base provides", setup{have: "a 1; Depends: v\nc 1; Provides: v", want: "a", base: "b 1; Provides: v"}, "a=1"},
		{"base provides, real wanted", setup{have: "v 1", want: "v", base: "b 1; Provides: v"}, "v=1"},

		{"conflict avoided by the next alternative", setup{have: "a 1; Depends: b | c\nb 1; Conflicts: z\nc 1\nz 1", want: "a, z"}, "a=1 c=1 z=1"},
		{"conflict avoided by going back", setup{have: "a 1; Depends: b | c\nb 1; Depends: e\nc 1\nd 1; Depends: f | g\ne 1; Conflicts: h\nf 1; Depends: h\ng 1; Depends: h\nh 1", want: "a, d"}, "a=1 c=1 d=1 f=1 h=1"},
		{"missing dependency avoided by the next alternative", setup{have: "a 1; Depends: b | c\nb 1; Depends: x\nc 1", want: "a"}, "a=1 c=1"},
		{"no conflict with itself", setup{have: "a 1; Provides: v; Conflicts: v, a; Breaks: a (<< 2)", want: "a"}, "a=1"},
		{"conflict with an older version", setup{have: "a 1; Breaks: b (<< 2)\nb 2", want: "a, b"}, "a=1 b=2"},
		{"versioned conflict with unversioned provides", setup{have: "a 1; Conflicts: v (<< 2)\nb 1; Provides: v", want: "a, b"}, "a=1 b=1"},
		{"conflict with another architecture", setup{have: "a 1; Conflicts: b:i386\nb 1", want: "a, b"}, "a=1 b=1"},
		{"essential is not implied", setup{have: "a 1\nb 1; Priority: required", want: "a"}, "a=1"},
		{"nothing", setup{have: "a 1"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Resolve(c.request(t))
			if err != nil {
				t.Fatal(err)
			}
			if got := chosen(r); got != c.result {
				t.Errorf("got %q, want %q", got, c.result)
			}
			if len(r.Waivers)+len(r.Unused)+len(r.Moved)+len(r.Held) > 0 {
				t.Errorf("got %+v besides", r)
			}
		})
	}
}

// Whoever reads the error must be able to mend the definition.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		setup
		want string
	}{
		{"missing", setup{have: "base 1; Depends: libfoo1\nlibfoo1 1; Depends: libbar2 (>= 3)\nz 1; Suite: trixie-security", want: "base"},
			`base -> libfoo1 -> libbar2 (>= 3): not in trixie, trixie-security for amd64: add libbar2 to "omit" with a reason if the image works without it, or give the suite that has it`},
		{"too old", setup{have: "base 1; Depends: libbar2 (>= 3)\nlibbar2 2", want: "base"},
			`base -> libbar2 (>= 3): trixie for amd64 has only 2: add libbar2 to "omit" with a reason`},
		{"older would do", setup{have: "a 1; Depends: b (= 1)\nb 1\nb 2; Suite: trixie-security", want: "a"},
			`a -> b (= 1): the newest is 2 in trixie-security, only the older 1 in trixie would do: wait until the suites agree, or add "b (= 1)" to "packages" to take the older one`},
		{"alternatives", setup{have: "a 1; Depends: b (>= 3) | c\nb 2", want: "a"}, `a -> b (>= 3) | c: trixie for amd64 has only 2; not in trixie for amd64: add b to "omit"`},
		{"wanted", setup{have: "a 1", want: "xyz"}, `xyz: not in trixie for amd64: correct "packages", or give the suite that has it`},
		{"wanted under its old name", setup{have: "libssl3t64 1\nlibssl4 1", want: "libssl3"}, `libssl3: not in trixie for amd64 (there is libssl3t64): correct "packages"`},
		{"wanted with a slip", setup{have: "python3 1\npython3-x 1\npython4 1", want: "pyhton3"}, `(there is python3)`},
		{"wanted in no such version", setup{have: "a 1\na 2", want: "a (>= 3)"}, `a (>= 3): trixie for amd64 has only 2: correct "packages"`},
		{"definition against a package", setup{have: "a 1; Depends: b (>= 2)\nb 1\nb 2", want: "a, b (= 1)"}, `a -> b (>= 2): b 2 would do, but the definition wants b (= 1): change the version in "packages"`},
		{"base too old", setup{have: "a 1; Depends: b (>= 2)\nb 2", want: "a", base: "b 1"}, `a -> b (>= 2): a level below holds b 1: run "distroless lock", so that all levels move together`},
		{"any of a package that is not allowed", setup{have: "a 1; Depends: b:any\nb 1; Multi-Arch: same", want: "a"}, `a -> b:any: no b in trixie for amd64 meets ":any"`},
		{"another architecture's", setup{have: "a 1; Depends: b:i386\nb 1", want: "a"}, `a -> b:i386: no b in trixie for amd64 meets ":i386"`},
		{"nothing available", setup{want: "a"}, "a: not in the archive (no package was given) for amd64"},
		{"conflict", setup{have: "a 1; Depends: b\nb 1; Conflicts: c (<< 2)\nc 1\nd 1; Depends: c", want: "a, d"},
			`c 1 and b 1 exclude each other (b: "Conflicts: c (<< 2)"): c 1 is there for d -> c; b 1 is there for a -> b: want or omit a package so that one of them is not needed`},
		{"breaks", setup{have: "a 1; Breaks: b\nb 1", want: "b, a"}, `a 1 and b 1 exclude each other (a: "Breaks: b"): a 1 is wanted by the definition; b 1 is wanted by the definition`},
		{"conflict with a provider", setup{have: "a 1; Conflicts: v\nb 1; Provides: v", want: "a, b"}, `b 1 and a 1 exclude each other (a: "Conflicts: v")`},
		{"provider before conflict", setup{have: "a 1; Conflicts: v\nb 1; Provides: v", want: "b, a"}, `a 1 and b 1 exclude each other (a: "Conflicts: v")`},
		{"versioned conflict with versioned provides", setup{have: "a 1; Conflicts: v (<< 2)\nb 1; Provides: v (= 1)", want: "a, b"}, `(a: "Conflicts: v (<< 2)")`},
		{"conflict with base", setup{have: "a 1; Conflicts: b", want: "a", base: "b 1"}, `b 1 is in a level below: what is below an image cannot change: run "distroless lock"`},
		{"base conflicts", setup{have: "a 1", want: "a", base: "b 1; Breaks: a"}, `a 1 and b 1 exclude each other (b: "Breaks: a")`},
		{"conflict whatever is chosen", setup{have: "a 1; Depends: b | c\nb 1; Conflicts: z\nc 1; Depends: d\nd 1; Breaks: z\nz 1; Depends: y | x\ny 1\nx 1", want: "a, z"},
			`d 1 and z 1 exclude each other (d: "Breaks: z"): d 1 is there for a -> c -> d; z 1 is wanted by the definition`},
		{"wanted and omitted", setup{have: "a 1\nb 1", want: "a | b", omit: []Omission{{"a", "x"}, {"b", "x"}}}, "a | b: a is omitted; b is omitted"},
		{"omitted without a reason", setup{omit: []Omission{{"a", ""}}}, "omit a: it has no reason"},
		{"base in two versions", setup{base: "a 1\na 2"}, "hold a in versions 1 and 2"},
		{"unreadable relation", setup{have: "a 1; Depends: b (>= 1", want: "a"}, `read Depends of a 1 (amd64, trixie): read relation "b (>= 1" at`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Resolve(c.request(t))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v\nwant %s", r, err, c.want)
			}
		})
	}
	if _, err := Resolve(Request{}); err == nil {
		t.Error("a request without an architecture is served")
	}
	if _, err := Resolve(Request{Arch: "arm64", Pool: NewPool("amd64", nil)}); err == nil {
		t.Error("a request for arm64 is served from a pool of amd64")
	}
}

func TestErrorTypes(t *testing.T) {
	_, err := Resolve(setup{have: "a 1; Depends: b | c\nb 1; Depends: x\nc 1; Depends: y", want: "a"}.request(t))
	var search *SearchError
	var missing *MissingError
	if !errors.As(err, &search) || !errors.As(err, &missing) || search.Tried != 2 || search.Last == nil || missing.Relation != "x" {
		t.Errorf("got %#v", err)
	}
	_, err = Resolve(setup{have: "a 1; Conflicts: b\nb 1", want: "a, b"}.request(t))
	var conflict *ConflictError
	if !errors.As(err, &conflict) || !conflict.StatedByB || conflict.Statement != "Conflicts: b" {
		t.Errorf("got %#v", err)
	}
}

func TestOmit(t *testing.T) {
	const have = "a 1; Pre-Depends: p (>= 2); Depends: debconf (>= 0.5) | debconf-2.0, b, debconf-2.0\nb 1; Depends: c | d, debconf\n" +
		"debconf 1; Provides: debconf-2.0; Depends: perl; Priority: required\ncdebconf 1; Provides: debconf-2.0\nperl 1\nc 1\nd 1\np 2"
	for _, c := range []struct {
		name string
		setup
		result  string
		waivers []Waiver
		unused  []string
	}{
		{"named, by alternative and by provider", setup{want: "a", omit: []Omission{{"debconf", "no questions"}, {"p", "not run"}}}, "a=1 b=1 c=1", []Waiver{
			{"a", "Pre-Depends", "p (>= 2)", "p", "not run"},
			{"a", "Depends", "debconf (>= 0.5) | debconf-2.0", "debconf", "no questions"},
			{"a", "Depends", "debconf-2.0", "debconf", "no questions"},
			{"b", "Depends", "debconf", "debconf", "no questions"},
		}, nil},
		{"met by a package that is wanted", setup{want: "b, cdebconf, a", omit: []Omission{{"debconf", "r"}}}, "a=1 b=1 c=1 cdebconf=1 p=2", []Waiver{
			{"b", "Depends", "debconf", "debconf", "r"},
		}, nil},
		{"in base", setup{want: "b", base: "debconf 1", omit: []Omission{{"debconf", "r"}}}, "b=1 c=1", nil, []string{"debconf"}},
		{"later alternative", setup{want: "b", omit: []Omission{{"d", "r"}}}, "b=1 c=1 debconf=1 perl=1", nil, []string{"d"}},
		{"first alternative", setup{want: "b, perl", omit: []Omission{{"c", "r"}, {"debconf", "s"}, {"zzz", "r"}, {"nope", "r"}}}, "b=1 perl=1", []Waiver{
			{"b", "Depends", "c | d", "c", "r"}, {"b", "Depends", "debconf", "debconf", "s"},
		}, []string{"nope", "zzz"}},
		{"by a level below, wanted here", setup{want: "perl, b", omit: []Omission{{"perl", "r"}, {"debconf", "r"}, {"debconf", "s"}}}, "b=1 c=1 perl=1", []Waiver{{"b", "Depends", "debconf", "debconf", "r"}}, []string{"perl"}},
		{"alternative of the definition", setup{want: "c | d", omit: []Omission{{"c", "r"}}}, "d=1", nil, []string{"c"}},
		{"not in the archive", setup{have: "a 1; Depends: gone (>= 3)", want: "a", omit: []Omission{{"gone", "r"}}}, "a=1", []Waiver{{"a", "Depends", "gone (>= 3)", "gone", "r"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.have == "" {
				c.have = have
			}
			r, err := Resolve(c.request(t))
			if err != nil {
				t.Fatal(err)
			}
			if chosen(r) != c.result || !reflect.DeepEqual(r.Waivers, c.waivers) || !reflect.DeepEqual(r.Unused, c.unused) {
				t.Errorf("got %q, %q, %q\nwant %q, %q, %q", chosen(r), r.Waivers, r.Unused, c.result, c.waivers, c.unused)
			}
		})
	}
}

// A cell added to a lock keeps the versions that the others have.
func TestPinned(t *testing.T) {
	const have = "ssl 1\nssl 2; Suite: trixie-security\ntool 1; Depends: ssl (= 1)\ntool 2; Depends: ssl (= 2); Suite: trixie-security\nnew 1; Depends: ssl (>= 2)\nplain 1; Depends: ssl"
	for _, c := range []struct {
		name string
		setup
		result      string
		moved, held []Move
	}{
		{"pin", setup{want: "plain", pins: map[string]string{"ssl": "1"}}, "plain=1 ssl=1", nil, nil},
		{"pin of the newest", setup{want: "plain", pins: map[string]string{"ssl": "2"}}, "plain=1 ssl=2", nil, nil},
		{"pin that is equal but not the same text", setup{want: "plain", pins: map[string]string{"ssl": "0:1"}}, "plain=1 ssl=1", nil, nil},
		{"pin that is not needed", setup{want: "plain", pins: map[string]string{"x": "1"}}, "plain=1 ssl=2", nil, nil},
		{"pin that is gone", setup{want: "plain", pins: map[string]string{"ssl": "0.9"}}, "plain=1 ssl=2", []Move{{"ssl", "0.9", "2", "it is no longer in trixie, trixie-security"}}, nil},
		{"pin that does not satisfy", setup{want: "plain, new", pins: map[string]string{"ssl": "1"}}, "new=1 plain=1 ssl=2", []Move{{"ssl", "1", "2", `new 1 has "Depends: ssl (>= 2)"`}}, nil},
		{"pin against the definition", setup{want: "plain, ssl (>= 2)", pins: map[string]string{"ssl": "1"}}, "plain=1 ssl=2", []Move{{"ssl", "1", "2", "the definition wants ssl (>= 2)"}}, nil},
		{"older version beside base", setup{want: "tool", base: "ssl 1", pins: map[string]string{"ssl": "1"}}, "tool=1", nil, []Move{{"tool", "2", "1", "it does not go with the versions that are fixed"}}},
		{"base moves with nothing", setup{want: "tool", base: "ssl 2", pins: map[string]string{"ssl": "2"}}, "tool=2", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.have = have
			r, err := Resolve(c.request(t))
			if err != nil {
				t.Fatal(err)
			}
			if chosen(r) != c.result || !reflect.DeepEqual(r.Moved, c.moved) || !reflect.DeepEqual(r.Held, c.held) {
				t.Errorf("got %q, moved %q, held %q\nwant %q, %q, %q", chosen(r), r.Moved, r.Held, c.result, c.moved, c.held)
			}
		})
	}
}

func TestReasons(t *testing.T) {
	r, err := Resolve(setup{have: "a 1; Depends: b, c (>= 1)\nb 1; Pre-Depends: c | d\nc 1\ne 1; Depends: b", want: "a, e"}.request(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Reason{"a": {"", "", "a"}, "e": {"", "", "e"}, "b": {"a", "Depends", "b"}, "c": {"a", "Depends", "c (>= 1)"}}
	for _, c := range r.Packages {
		if c.Because != want[c.Name] {
			t.Errorf("%s is there because of %+v, want %+v", c.Name, c.Because, want[c.Name])
		}
	}
}

// The closure check of an image and "distroless why" stand on these edges.
func TestNeeds(t *testing.T) {
	r, err := Resolve(setup{have: "a 1; Pre-Depends: libc; Depends: v, b | c, a, gone, gone | d\nb 1; Provides: v\nc 1\nd 1", want: "a, c, d", base: "libc 1", omit: []Omission{{"gone", "r"}}}.request(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Packages[0].Needs; !slices.Equal(got, []string{"b", "d", "libc"}) {
		t.Errorf("a needs %q, want b, d and libc", got)
	}
}

func TestWhy(t *testing.T) {
	have := packages(t, "base 1; Depends: libc, libssl | libold\npython 1; Pre-Depends: libssl (>= 1); Depends: base, v\nlibssl 1; Depends: libc, libssl\nlibc 1\nx 1; Provides: v; Depends: libc\nalone 1")
	wanted := groups(t, "base, python, libnot [arm64]")
	why := func(name string) string {
		chains, err := Why("amd64", wanted, have, name)
		if err != nil {
			return err.Error()
		}
		var lines []string
		for _, c := range chains {
			lines = append(lines, c.String())
		}
		return strings.Join(lines, "\n")
	}
	for name, want := range map[string]string{
		"base":   "base\npython -> base (Depends: base)",
		"libssl": "base -> libssl (Depends: libssl | libold)\npython -> libssl (Pre-Depends: libssl (>= 1))",
		"libc":   "base -> libc (Depends: libc)\nbase -> libssl (Depends: libssl | libold) -> libc (Depends: libc)\npython -> x (Depends: v) -> libc (Depends: libc)",
		"alone":  "",
		"v":      "explain v: it is provided by x: ask for that",
		"nope":   "explain nope: it is not in the image",
	} {
		if got := why(name); got != want {
			t.Errorf("why %s:\n%s\nwant\n%s", name, got, want)
		}
	}
}
