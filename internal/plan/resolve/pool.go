package resolve

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"distroless/internal/debian/index"
	"distroless/internal/debian/version"
)

// Pool is the packages of one architecture, ordered for searching. Making one
// takes longer than most requests, so callers with several requests for the
// same packages share it; it may be used by several goroutines at once.
type Pool struct {
	arch     string
	packages []*index.Package
	first    map[string]int32 // name to a place in packages
	next     []int32          // the next package of the same name, or -1
	suites   []string         // sorted

	once      sync.Once
	providers chains // by provided name
}

// NewPool orders packages of all suites together. Those of another
// architecture than arch and "all" are passed over.
func NewPool(arch string, available []*index.Package) *Pool {
	p := &Pool{
		arch:     arch,
		packages: make([]*index.Package, 0, len(available)),
		first:    make(map[string]int32, len(available)),
		next:     make([]int32, 0, len(available)),
	}
	for _, a := range available {
		if a.Arch != arch && a.Arch != "all" {
			continue
		}
		after, ok := p.first[a.Name]
		if !ok {
			after = -1
		}
		p.first[a.Name] = int32(len(p.packages))
		p.packages = append(p.packages, a)
		p.next = append(p.next, after)
		if len(p.suites) == 0 || p.suites[len(p.suites)-1] != a.Suite && !slices.Contains(p.suites, a.Suite) {
			p.suites = append(p.suites, a.Suite)
		}
	}
	slices.Sort(p.suites)
	return p
}

// versions returns the packages of a name, the newest first and each version
// once.
func (p *Pool) versions(name string) []*index.Package {
	at, ok := p.first[name]
	if !ok {
		return nil
	}
	var all []*index.Package
	for ; at >= 0; at = p.next[at] {
		all = append(all, p.packages[at])
	}
	if len(all) > 1 {
		slices.SortFunc(all, newestFirst)
		all = slices.CompactFunc(all, func(a, b *index.Package) bool { return version.Compare(a.Version, b.Version) == 0 })
	}
	return all
}

// newestFirst orders packages of one name. Of the same version in several
// suites the one of the shortest suite name comes first: a fix that a point
// release has taken over counts as main's, which keeps it. The rest only makes
// the order complete.
func newestFirst(a, b *index.Package) int {
	if c := version.Compare(b.Version, a.Version); c != 0 {
		return c
	}
	if a.Arch != b.Arch && (a.Arch == "all" || b.Arch == "all") {
		if a.Arch == "all" {
			return 1
		}
		return -1
	}
	return cmp.Or(
		cmp.Compare(len(a.Suite), len(b.Suite)), strings.Compare(a.Suite, b.Suite), strings.Compare(a.Path, b.Path),
		strings.Compare(a.SHA256, b.SHA256), strings.Compare(a.Version, b.Version))
}

// chains is lists of packages by a name, without a slice for each: the
// archive's packages provide some 100,000 names.
type chains struct {
	first map[string]int32 // name to a place in links
	links []link
}

type link struct{ pkg, next int32 }

// providersOf returns the names of packages of which some version provides
// name, sorted.
func (p *Pool) providersOf(name string) []string {
	p.once.Do(p.indexProviders)
	at, ok := p.providers.first[name]
	if !ok {
		return nil
	}
	var names []string
	for ; at >= 0; at = p.providers.links[at].next {
		names = append(names, p.packages[p.providers.links[at].pkg].Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// indexProviders cuts the names out of all Provides fields. It is loose about
// the rest of them: who asks reads the field of a provider again in full.
func (p *Pool) indexProviders() {
	c := chains{first: map[string]int32{}}
	for i, pkg := range p.packages {
		for rest := pkg.Provides; rest != ""; {
			var item string
			item, rest, _ = strings.Cut(rest, ",")
			item = strings.TrimLeft(item, " \t\r\n")
			if end := strings.IndexAny(item, " \t\r\n(:["); end >= 0 {
				item = item[:end]
			}
			after, ok := c.first[item]
			if !ok {
				after = -1
			}
			c.first[item] = int32(len(c.links))
			c.links = append(c.links, link{int32(i), after})
		}
	}
	p.providers = c
}

// suitesText names the suites for a message: "trixie, trixie-security".
func (p *Pool) suitesText() string {
	if len(p.suites) == 0 {
		return "the archive (no package was given)"
	}
	return strings.Join(p.suites, ", ")
}
