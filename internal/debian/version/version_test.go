package version

import (
	"testing"

	"pgregory.net/rapid"
)

// A wrong order makes a lock choose an older, perhaps vulnerable, package.
func TestCompare(t *testing.T) {
	for _, c := range []struct {
		a    string
		want int
		b    string
	}{
		{"1.0", 0, "1.0"},
		{"1.0", -1, "1.1"},
		{"1.9", -1, "1.10"},
		{"1.0", 0, "1.00"},
		{"1.0", 0, "0:1.0"},
		{"1.0", 0, "1.0-0"},
		{"1.0", -1, "1.0-1"},
		{"1:0.1", 1, "9.9"},
		{"2:1", -1, "10:1"},
		{"1.0~rc1", -1, "1.0"},
		{"1.0~~", -1, "1.0~"},
		{"1.0~~a", -1, "1.0~"},
		{"1.0~", -1, "1.0"},
		{"1.0", -1, "1.0a"},
		{"1.0a", -1, "1.0+"},
		{"1.0a", -1, "1.0.1"},
		{"1.0Z", -1, "1.0a"},
		{"1.0+dfsg-1", 1, "1.0-1"},
		{"1.2-3-4", 1, "1.2-3"},
		{"1-2-3", -1, "1-2-4"},
		{"1-a-3", 1, "1-3"},
		{"1:1:2", 1, "1:1"},
		{"3.5.1-1+deb13u1", 1, "3.5.1-1"},
		{"3.5.1-1~deb12u1", -1, "3.5.1-1"},
		{"3.5.1-1+b1", -1, "3.5.1-1+deb13u1"},
		{"2.41-12", 1, "2.41-12~"},
		{"18446744073709551616", 1, "18446744073709551615"},
		{"99999999999999999999999999999999999999", -1, "100000000000000000000000000000000000000"},
		{"0000000000000000000000000000000000000001", 0, "1"},
		{"7.6p2-4", 1, "7.6-0"},
		{"1.0.5", 1, "1.0-5"},
		{"", -1, "0a"},
		{"", 0, "0"},
		{"a:1", 1, "1"},
	} {
		if got := Compare(c.a, c.b); got != c.want {
			t.Errorf("Compare(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := Compare(c.b, c.a); got != -c.want {
			t.Errorf("Compare(%q, %q) = %d, want %d", c.b, c.a, got, -c.want)
		}
	}
}

func TestParse(t *testing.T) {
	for s, want := range map[string]Version{
		"1":                   {Upstream: "1"},
		"1.0-1":               {Upstream: "1.0", Revision: "1"},
		"0:1.0-1":             {Upstream: "1.0", Revision: "1"},
		"2:1.0-2-1~b+x":       {Epoch: 2, Upstream: "1.0-2", Revision: "1~b+x"},
		"1:2:3-1":             {Epoch: 1, Upstream: "2:3", Revision: "1"},
		"0:2:3":               {Upstream: "2:3"},
		"2147483647:1":        {Epoch: 2147483647, Upstream: "1"},
		"20240203~deb12u1":    {Upstream: "20240203~deb12u1"},
		"12.4+deb12u11":       {Upstream: "12.4+deb12u11"},
		"1.0~rc1+dfsg-1.1+b2": {Upstream: "1.0~rc1+dfsg", Revision: "1.1+b2"},
	} {
		got, err := Parse(s)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", s, got, err, want)
		}
		if back, err := Parse(got.String()); err != nil || back != got {
			t.Errorf("Parse(%q) = %+v, %v after String of %+v", got.String(), back, err, got)
		}
	}
}

// What is let through here ends in file names, keys of the lock and purls.
func TestParseRefuses(t *testing.T) {
	for _, s := range []string{
		"", " ", "1.0 ", " 1.0", "1 0", ":1", "a:1", "-1:1", "+1:1", "1_0:1", "2147483648:1", "99999999999999999999:1",
		"1:", "1:-1", "-1", "1.0-", "a1", "~1", "1.0/..", "1.0-1:2", "1.0\n", "1.0_1", "1.0-1_2", "1.ä", "${binary:Version}",
	} {
		if v, err := Parse(s); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", s, v)
		}
	}
}

func TestCompareDoesNotAllocate(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Compare("1:2.41+dfsg-12~deb13u1", "1:2.41+dfsg-12~deb13u2") }); n != 0 {
		t.Errorf("Compare allocates %v times", n)
	}
}

// anyVersion draws texts that are near each other, so that long common
// prefixes, zeros and tildes meet.
func anyVersion() *rapid.Generator[string] {
	return rapid.StringMatching(`([0-9]{1,2}:)?[0-9][0-9a-bZ.+~-]{0,6}(-[0-9a.+~]{1,4})?`)
}

// Without these laws the order of a sorted list, and so the lock, would hang
// on the order of the index.
func TestOrderLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyVersion().Draw(t, "a"), anyVersion().Draw(t, "b"), anyVersion().Draw(t, "c")
		if Compare(a, a) != 0 {
			t.Fatalf("Compare(%q, %[1]q) is not 0", a)
		}
		if Compare(a, b) != -Compare(b, a) {
			t.Fatalf("Compare(%q, %q) = %d, but %d the other way round", a, b, Compare(a, b), Compare(b, a))
		}
		if Compare(a, b) <= 0 && Compare(b, c) <= 0 && Compare(a, c) > 0 {
			t.Fatalf("%q <= %q <= %q, but the first is newer than the last", a, b, c)
		}
		if Compare(a, b) == 0 && Compare(a, c) != Compare(b, c) {
			t.Fatalf("%q = %q, but they stand differently to %q", a, b, c)
		}
	})
}

func FuzzVersion(f *testing.F) {
	for _, s := range []string{"1", "1.0-1", "0:1", "1:2:3-4-5", "1~~a", "1.0+dfsg-1+deb13u1", "00", "-", ":", "~", "9999999999999999999999"} {
		f.Add(s, "1.0-1")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if Compare(a, b) != -Compare(b, a) {
			t.Errorf("Compare(%q, %q) = %d, but %d the other way round", a, b, Compare(a, b), Compare(b, a))
		}
		v, err := Parse(a)
		if err != nil {
			return
		}
		if Compare(a, v.String()) != 0 {
			t.Errorf("%q is not equal to %q, its own parts", a, v.String())
		}
		if w, err := Parse(v.String()); err != nil || w != v {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", v.String(), w, err, v)
		}
	})
}

func BenchmarkCompare(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Compare("1:2.41+dfsg-12~deb13u1", "1:2.41+dfsg-12~deb13u2")
	}
}
