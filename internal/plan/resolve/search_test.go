package resolve

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"distroless/internal/debian/index"
	"distroless/internal/debian/relation"
)

// An archive made to be hard, here n+1 packages that each want one of n places
// for themselves, must not keep a build busy for ever.
func TestHardArchiveEnds(t *testing.T) {
	const n = 9
	var have strings.Builder
	var wanted []string
	for i := range n + 1 {
		var places []string
		for j := range n {
			places = append(places, fmt.Sprintf("place%d-%d", j, i))
			fmt.Fprintf(&have, "place%d-%d 1; Provides: place%d; Conflicts: place%d\n", j, i, j, j)
		}
		fmt.Fprintf(&have, "guest%d 1; Depends: %s\n", i, strings.Join(places, " | "))
		wanted = append(wanted, fmt.Sprintf("guest%d", i))
	}
	_, err := Resolve(setup{have: have.String(), want: strings.Join(wanted, ", ")}.request(t))
	var search *SearchError
	if !errors.As(err, &search) || !search.GaveUp || !strings.Contains(err.Error(), "choices among alternatives were tried, and that is where the search ends") {
		t.Errorf("got %v, want that the search ends", err)
	}
	if r, err := Resolve(setup{have: have.String(), want: strings.Join(wanted[:n], ", ")}.request(t)); err != nil || len(r.Packages) != 2*n {
		t.Errorf("with a place for each: %v", err)
	}
}

// A dead end deep down that one early choice is to blame for is found without
// trying all that was chosen in between: 30 pairs have 2^30 combinations.
func TestGoesBackToTheCause(t *testing.T) {
	var have strings.Builder
	have.WriteString("first 1; Depends: bad | good\nbad 1; Conflicts: trap\ngood 1\ntrap 1\n")
	wanted := []string{"first"}
	for i := range 30 {
		fmt.Fprintf(&have, "p%d 1; Depends: l%d | r%d\nl%d 1\nr%d 1\n", i, i, i, i, i)
		wanted = append(wanted, fmt.Sprintf("p%d", i))
	}
	have.WriteString("last 1; Depends: x | y\nx 1; Depends: trap\ny 1; Depends: trap\n")
	r, err := Resolve(setup{have: have.String(), want: strings.Join(append(wanted, "last"), ", ")}.request(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := chosen(r); !strings.Contains(got, "good=1") || !strings.Contains(got, "trap=1") || strings.Contains(got, "r0=1") {
		t.Errorf("got %s", got)
	}
}

func TestLevels(t *testing.T) {
	var none levels
	a := none.add(3).add(200)
	b := none.add(64)
	if !a.has(3) || !a.has(200) || a.has(64) || none.has(3) || a.has(1000) {
		t.Errorf("a is %b", a)
	}
	if u := a.union(b); !u.has(3) || !u.has(64) || !u.has(200) || a.has(64) || b.has(3) {
		t.Errorf("the union is %b", u)
	}
	if r := a.remove(200); r.has(200) || !r.has(3) || !a.has(200) || !r.within(a) || a.within(r) {
		t.Errorf("without 200 it is %b", r)
	}
	if !none.within(nil) || !none.within(a) || a.within(nil) {
		t.Error("the empty set is not within all sets")
	}
}

// archiveOf makes n packages in the shape of a real archive: libraries on top
// of each other, some alternatives and virtual packages.
func archiveOf(n int) []*index.Package {
	var all []*index.Package
	for i := range n {
		p := &index.Package{Name: fmt.Sprintf("lib%d", i), Version: "1.0-1", Arch: "amd64", Suite: "trixie", Priority: "optional"}
		if i > 0 {
			p.Depends = fmt.Sprintf("lib%d (>= 0.9), lib%d, lib%d (>= 1.0) | virtual%d", i/2, i/3, i/5, i%1000)
		}
		if i%5 == 0 {
			p.Provides = fmt.Sprintf("virtual%d, extra%d (= 1.0)", i/5%1000, i)
			p.Breaks = fmt.Sprintf("lib%d (<< 0.5)", i+1)
		}
		all = append(all, p)
	}
	return all
}

func BenchmarkPool(b *testing.B) {
	all := archiveOf(70000)
	for b.Loop() {
		NewPool("amd64", all).providersOf("virtual1")
	}
}

func BenchmarkResolve(b *testing.B) {
	pool := NewPool("amd64", archiveOf(70000))
	req := Request{Arch: "amd64", Pool: pool}
	for i := 60000; i < 60020; i++ {
		req.Wanted = append(req.Wanted, relation.Group{{Name: fmt.Sprintf("lib%d", i)}})
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := Resolve(req)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(r.Packages)), "packages")
	}
}
