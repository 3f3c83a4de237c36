package relation

import (
	"reflect"
	"strings"
	"testing"
)

// A relation that is read wrongly leaves a library out of the image.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		want []Group
	}{
		{"", nil},
		{" , ,\n", nil},
		{"a", []Group{{{Name: "a"}}}},
		{"libc6 (>= 2.38), libssl3t64", []Group{{{Name: "libc6", Op: ">=", Version: "2.38"}}, {{Name: "libssl3t64"}}}},
		{"foo(>=1)", []Group{{{Name: "foo", Op: ">=", Version: "1"}}}},
		{"foo( >= 1 )|bar,baz,", []Group{{{Name: "foo", Op: ">=", Version: "1"}, {Name: "bar"}}, {{Name: "baz"}}}},
		{"foo (<1), bar (>2)", []Group{{{Name: "foo", Op: "<=", Version: "1"}}, {{Name: "bar", Op: ">=", Version: "2"}}}},
		{"foo (<<1)|bar (>> 2)|baz (=1:3-4)", []Group{{{Name: "foo", Op: "<<", Version: "1"}, {Name: "bar", Op: ">>", Version: "2"}, {Name: "baz", Op: "=", Version: "1:3-4"}}}},
		{"a\n , b\n\t| c\r\n , d", []Group{{{Name: "a"}}, {{Name: "b"}, {Name: "c"}}, {{Name: "d"}}}},
		{"perl:any (>= 5), python3:native, libc6:amd64", []Group{{{Name: "perl", Qualifier: "any", Op: ">=", Version: "5"}}, {{Name: "python3", Qualifier: "native"}}, {{Name: "libc6", Qualifier: "amd64"}}}},
		{"a [amd64 any-arm], b (>= 1)[!i386]", []Group{{{Name: "a", Archs: []string{"amd64", "any-arm"}}}, {{Name: "b", Op: ">=", Version: "1", Archs: []string{"!i386"}}}}},
		{"libstdc++6, 0ad, g++, r-cran-x.y, Foo_Bar", []Group{{{Name: "libstdc++6"}}, {{Name: "0ad"}}, {{Name: "g++"}}, {{Name: "r-cran-x.y"}}, {{Name: "Foo_Bar"}}}},
	} {
		got, err := Parse(c.text)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{
		"a b", "a |", "| a", "a || b", "a (1)", "a (>= 1", "a (>= )", "a ()", "a (== 1)", "a (=> 1)", "a (>= 1) (<< 2)", "a (>= 1 2)",
		"a:", "a: b", "a:(>= 1)", "a []", "a [amd64", "a [amd64 !i386]", "a [!]", "a [ämd64]", "a <!nocheck>", "${misc:Depends}", "a (= ${binary:Version})",
		"-a", ".a", "a;b", "ä", "a\x00", strings.Repeat("a, ", 1<<20),
	} {
		if g, err := Parse(s); err == nil {
			t.Errorf("Parse(%.40q) = %+v, want an error", s, g)
		}
	}
	_, err := Parse("libc6 (>= 2.38), foo (>= 1 | bar, baz")
	if want := `read relation "foo (>= 1 | bar" at "1 | bar, baz": read version`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s...", err, want)
	}
}

func TestParseOne(t *testing.T) {
	if r, err := ParseOne("a (>= 1)"); err != nil || r.String() != "a (>= 1)" {
		t.Errorf("got %v, %v", r, err)
	}
	for _, s := range []string{"", "a | b", "a, b", "a ("} {
		if r, err := ParseOne(s); err == nil {
			t.Errorf("ParseOne(%q) = %v, want an error", s, r)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		relation, version string
		want              bool
	}{
		{"a", "0", true},
		{"a (<< 1.0)", "1.0~rc1", true}, {"a (<< 1.0)", "1.0", false},
		{"a (<= 1.0)", "1.0", true}, {"a (<= 1.0)", "1.0-0", true}, {"a (<= 1.0)", "1.0-1", false},
		{"a (= 1.0)", "0:1.0", true}, {"a (= 1.0)", "1.0-1", false},
		{"a (>= 1.0)", "1.0", true}, {"a (>= 1.0)", "0.9", false},
		{"a (>> 1.0)", "1:0", true}, {"a (>> 1.0)", "1.0", false},
	} {
		r, err := ParseOne(c.relation)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Matches(c.version); got != c.want {
			t.Errorf("%q matches %q: %v, want %v", c.relation, c.version, got, c.want)
		}
	}
}

func TestAppliesTo(t *testing.T) {
	for _, c := range []struct {
		archs, yes, no string
	}{
		{"", "amd64 armhf", ""},
		{"amd64 arm64", "amd64 arm64", "armhf i386"},
		{"!amd64 !arm64", "armhf i386", "amd64 arm64"},
		{"any", "amd64 armhf", ""},
		{"linux-any", "amd64 armhf", "hurd-i386"},
		{"any-i386", "i386 hurd-i386", "amd64"},
		{"any-arm", "armhf armel", "arm64 amd64"},
		{"!any-arm", "arm64", "armhf"},
		{"linux-amd64", "amd64", "i386"},
	} {
		r := Relation{Name: "a", Archs: strings.Fields(c.archs)}
		for _, a := range strings.Fields(c.yes) {
			if !r.AppliesTo(a) {
				t.Errorf("[%s] leaves %s out", c.archs, a)
			}
		}
		for _, a := range strings.Fields(c.no) {
			if r.AppliesTo(a) {
				t.Errorf("[%s] lets %s in", c.archs, a)
			}
		}
	}
	groups, err := Parse("a [amd64] | b [arm64] | c, d [arm64]")
	if err != nil {
		t.Fatal(err)
	}
	if got := groups[0].ForArch("amd64").String(); got != "a | c" {
		t.Errorf("for amd64 there is %q, want a | c", got)
	}
	if got := groups[1].ForArch("amd64"); len(got) != 0 {
		t.Errorf("for amd64 there is %q, want nothing", got)
	}
}

func FuzzRelation(f *testing.F) {
	for _, s := range []string{"", "a", "a | b (>= 1:2-3), c:any [!i386 !armhf]", "foo(>=1),", "a (<1)\n , b", "a [amd64", "${x}", "a <b>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		groups, err := Parse(s)
		if err != nil {
			return
		}
		texts := make([]string, len(groups))
		for i, g := range groups {
			if len(g) == 0 {
				t.Fatal("a group is empty")
			}
			texts[i] = g.String()
			for _, r := range g {
				r.Matches("1.0")
				r.AppliesTo("amd64")
			}
		}
		again, err := Parse(strings.Join(texts, ", "))
		if err != nil || !reflect.DeepEqual(groups, again) {
			t.Fatalf("written and read again it is %v, %v; want %v", again, err, groups)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	const s = "libc6 (>= 2.38), libgcc-s1 (>= 4.2), libssl3t64 (>= 3.5.0), default-mta | mail-transport-agent, perl:any, zlib1g (>= 1:1.2.0)"
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(s); err != nil {
			b.Fatal(err)
		}
	}
}
