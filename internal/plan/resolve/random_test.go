package resolve

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"distroless/internal/debian/index"
	"distroless/internal/debian/relation"
)

// A lock that hung on the order of an index would change without a cause.
func TestOrderOfTheArchiveDoesNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		req := setup{have: randomArchive(rng), want: "p0, p1 | p2, v0"}.request(t)
		req.Available = append(req.Available, packages(t, "p0 1; Suite: z\np1 1; Architecture: all\np2 1; Suite: trixie-security")...)
		first, firstErr := Resolve(req)
		for range 3 {
			rng.Shuffle(len(req.Available), func(i, j int) { req.Available[i], req.Available[j] = req.Available[j], req.Available[i] })
			again, err := Resolve(req)
			if !reflect.DeepEqual(first, again) || fmt.Sprint(firstErr) != fmt.Sprint(err) {
				t.Fatalf("got %v, %v\nand in another order %v, %v", first, firstErr, again, err)
			}
		}
	}
}

// randomArchive makes a small archive full of alternatives, virtual packages
// and conflicts.
func randomArchive(rng *rand.Rand) string {
	const n = 8
	name := func() string {
		if rng.IntN(4) == 0 {
			return fmt.Sprintf("v%d", rng.IntN(3))
		}
		return fmt.Sprintf("p%d", rng.IntN(n))
	}
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "p%d %d", i, 1+rng.IntN(2))
		var depends []string
		for range rng.IntN(3) {
			d := name()
			for rng.IntN(2) == 0 {
				d += " | " + name()
			}
			if rng.IntN(4) == 0 {
				d += " (>= 2)"
			}
			depends = append(depends, d)
		}
		fmt.Fprintf(&b, "; Depends: %s", strings.Join(depends, ", "))
		if rng.IntN(3) == 0 {
			fmt.Fprintf(&b, "; Conflicts: %s", name())
		}
		if rng.IntN(3) == 0 {
			fmt.Fprintf(&b, "; Provides: v%d", rng.IntN(3))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestAgainstAllSubsets compares with trying every set of packages: a
// resolution is found exactly if there is one, and it is sound.
func TestAgainstAllSubsets(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	solved, unsolved := 0, 0
	for range 1500 {
		text := randomArchive(rng)
		req := setup{have: text, want: "p0, p1 | p2"}.request(t)
		r, err := Resolve(req)
		possible := false
		for bits := range 1 << len(req.Available) {
			var set []*index.Package
			for i, p := range req.Available {
				if bits>>i&1 == 1 {
					set = append(set, p)
				}
			}
			if possible = sound(set, req.Wanted); possible {
				break
			}
		}
		if possible != (err == nil) {
			t.Fatalf("a solution exists: %v; got %v, %v for\n%s", possible, r, err, text)
		}
		if err != nil {
			unsolved++
			continue
		}
		solved++
		var set []*index.Package
		for _, c := range r.Packages {
			set = append(set, c.Package)
		}
		if !sound(set, req.Wanted) {
			t.Fatalf("got %s for\n%s", chosen(r), text)
		}
		for i := range set {
			if c := r.Packages[i]; c.Because.Relation == "" {
				t.Fatalf("%s has no reason in %s for\n%s", c.Name, chosen(r), text)
			}
		}
	}
	if solved < 200 || unsolved < 200 {
		t.Errorf("only %d solved and %d unsolved cases: the archives are too easy or too hard to tell", solved, unsolved)
	}
}

// sound says by Policy's words whether a set has all it needs and no conflict.
func sound(set []*index.Package, wanted []relation.Group) bool {
	meets := func(r relation.Relation, p *index.Package) bool {
		if p.Name == r.Name && r.Matches(p.Version) {
			return true
		}
		return r.Op == "" && p.Provides == r.Name
	}
	met := func(g relation.Group) bool {
		return slices.ContainsFunc(g, func(r relation.Relation) bool {
			return slices.ContainsFunc(set, func(p *index.Package) bool { return meets(r, p) })
		})
	}
	parse := func(s string) []relation.Group {
		g, err := relation.Parse(s)
		if err != nil {
			panic(err)
		}
		return g
	}
	for _, g := range wanted {
		if !met(g) {
			return false
		}
	}
	for _, p := range set {
		for _, g := range parse(p.Depends) {
			if !met(g) {
				return false
			}
		}
		for _, g := range parse(p.Conflicts) {
			for _, q := range set {
				if q != p && meets(g[0], q) {
					return false
				}
			}
		}
	}
	return true
}
