package scripts_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"distroless/internal/debian/archive"
	"distroless/internal/debian/deb"
	"distroless/internal/debian/index"
	"distroless/internal/fetch"
	"distroless/internal/rootfs/scripts"
	"distroless/internal/testenv"
	"golang.org/x/sync/errgroup"
)

// TestSurvey reads the scripts of popular packages and of all they depend on
// from the real archive, and reports how many are recognised. With
// DISTROLESS_SURVEY=200 it takes the whole list, which is some 2,000 packages
// and minutes; 12 by default. Users who add packages pin what is unknown here
// by hand: the share must not grow.
func TestSurvey(t *testing.T) {
	testenv.E2E(t)
	n := 12
	if s := os.Getenv("DISTROLESS_SURVEY"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("DISTROLESS_SURVEY=%s: want a number of packages", s)
		}
	}
	root, packages, provides := trixie(t)
	wanted := popular(t, n)
	chosen := closure(wanted, packages, provides)
	list := make([][]scripts.Script, len(chosen))
	var g errgroup.Group
	g.SetLimit(6)
	for i, p := range chosen {
		g.Go(func() (err error) {
			list[i], err = controlScripts(t.Context(), root, p)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	report(t, len(wanted), len(chosen), scripts.Account(slices.Concat(list...), nil))
}

// trixie fetches the verified index of the machine's archive.
func trixie(t *testing.T) (root string, packages map[string]*index.Package, provides map[string]string) {
	t.Helper()
	address, err := archive.Discover(archive.DiscoverOptions{Main: os.Getenv("DISTROLESS_ARCHIVE"), Machine: os.DirFS("/")})
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := archive.DebianKeyring("debian13")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := fetch.OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := &archive.Client{Fetch: &fetch.Client{Cache: cache}}
	release, err := c.Release(t.Context(), archive.Suite{Name: "trixie", Roots: address.Main, Keyring: keyring})
	if err != nil {
		t.Fatal(err)
	}
	x, err := c.Packages(t.Context(), release, "main", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	text, err := x.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	packages, provides = map[string]*index.Package{}, map[string]string{}
	err = index.Parse(t.Context(), text, "trixie", func(p *index.Package) error {
		packages[p.Name] = p
		for name := range strings.SplitSeq(p.Provides, ",") {
			if f := bare.FindString(name); f != "" {
				provides[f] = cmp.Or(provides[f], p.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return address.Main[0], packages, provides
}

var bare = regexp.MustCompile(`[a-z0-9][a-z0-9+.-]+`)

func popular(t *testing.T, n int) []string {
	t.Helper()
	f, err := os.Open("testdata/popular.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	for s := bufio.NewScanner(f); s.Scan() && len(names) < n; {
		if line := s.Text(); line != "" && line[0] != '#' {
			names = append(names, line)
		}
	}
	return names
}

// closure follows the first alternative of each dependency that there is: near
// enough to what would be installed for counting scripts.
func closure(wanted []string, packages map[string]*index.Package, provides map[string]string) []*index.Package {
	seen := map[string]*index.Package{}
	for left := slices.Clone(wanted); len(left) > 0; {
		name := left[len(left)-1]
		left = left[:len(left)-1]
		p := packages[name]
		if p == nil {
			p = packages[provides[name]]
		}
		if p == nil || seen[p.Name] != nil {
			continue
		}
		seen[p.Name] = p
		for group := range strings.SplitSeq(p.Depends+","+p.PreDepends, ",") {
			for alternative := range strings.SplitSeq(group, "|") {
				dep := bare.FindString(alternative)
				if packages[dep] != nil || provides[dep] != "" {
					left = append(left, dep)
					break
				}
			}
		}
	}
	return slices.SortedFunc(maps.Values(seen), func(a, b *index.Package) int { return cmp.Compare(a.Name, b.Name) })
}

// controlScripts reads the control member, which comes first in a .deb, and
// leaves the rest where it is.
func controlScripts(ctx context.Context, root string, p *index.Package) ([]scripts.Script, error) {
	var err error
	for _, most := range []int64{128 << 10, 16 << 20} {
		var list []scripts.Script
		if list, err = readPart(ctx, root+"/"+p.Path, p, min(most, p.Size)); err == nil {
			return list, nil
		}
	}
	return nil, err
}

func readPart(ctx context.Context, url string, p *index.Package, most int64) ([]scripts.Script, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=0-%d", most-1))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	r, err := deb.Open(ctx, io.LimitReader(resp.Body, most), p.String(), deb.Options{Name: p.Name, Version: p.Version, Arch: p.Arch})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var list []scripts.Script
	add := func(name string, text []byte) {
		if text != nil {
			list = append(list, scripts.Script{Package: p.Name, Version: p.Version, Arch: "amd64", Name: name, Text: text})
		}
	}
	for _, name := range []string{"preinst", "config", "postinst"} {
		add(name, r.Control().Scripts[name])
	}
	add("triggers", r.Control().Triggers)
	return list, nil
}

func report(t *testing.T, wanted, packages int, res scripts.Result) {
	t.Helper()
	total, good, kinds := map[string]int{}, map[string]int{}, map[string]int{}
	for _, f := range res.Found {
		total[f.Script.Name]++
		if f.How == scripts.Recognised {
			good[f.Script.Name]++
		}
		for _, e := range f.Effects {
			kinds[e.Kind]++
		}
	}
	t.Logf("%d packages, %d with what they depend on", wanted, packages)
	all, known := 0, 0
	for _, name := range []string{"preinst", "config", "postinst", "triggers"} {
		t.Logf("%-9s %4d, recognised %4d", name, total[name], good[name])
		if name != "triggers" {
			all, known = all+total[name], known+good[name]
		}
	}
	t.Logf("scripts without triggers files: %d of %d recognised, %.1f%%", known, all, 100*float64(known)/float64(all))
	t.Logf("effects: %v", kinds)
	for _, u := range res.Unknown {
		t.Logf("unknown: %s %s: line %d: %s (%d places)", u.Script.Package, u.Script.Name, u.Why[0].Line, u.Why[0].Text, len(u.Why))
	}
	if known*100 < all*80 {
		t.Errorf("%d of %d scripts are recognised: fewer than 80%%", known, all)
	}
}
