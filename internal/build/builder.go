package build

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"distroless/internal/debian/archive"
	"distroless/internal/fetch"
	"distroless/internal/oci/layer"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/spec"
	"distroless/internal/upstream"
)

// Builder holds what a run needs. Use [New].
type Builder struct {
	Options
	memo memo

	mu       sync.Mutex
	releases map[string]*once[*archive.Release] // by distro and suite
	pools    map[string]*once[*pool]            // by distro and architecture
	address  once[archive.Address]
	chains   map[string][]*step
	npm      once[*upstream.NpmConfig]
	verified map[string]*checked // layers by the hex of their digest
}

// Options of a run. Catalog, Lock, Cache, Fetch and Address are required.
type Options struct {
	Catalog *Catalog
	// Lock is read and, by Resolve, added to; writing it is the caller's.
	Lock  *lock.Lock
	Cache *fetch.Cache
	Fetch *fetch.Client
	// Address finds Debian's archive. It is asked once, and only when
	// something must come from there.
	Address func() (archive.Address, error)
	// Npm reads the machine's npm configuration. It is asked once, and only for
	// a definition that names an npm package without a registry; nil has none.
	Npm         func() (*upstream.NpmConfig, error)
	Compression layer.Compression
	// Jobs is how many things are worked on at once; 0 is one a core.
	Jobs int
	// KeepGoing makes every image that can be made when another of the same
	// distro and architecture cannot.
	KeepGoing bool
	// Epoch is recorded in new cells as the latest time in their images.
	Epoch *int64
	// Keyring returns the keys that a distro's archive is signed with, by the
	// name in distros.yaml; nil takes Debian's own, [archive.DebianKeyring].
	Keyring func(name string) (*archive.Keyring, error)
	// Now is the time that signatures are checked at; nil is the clock.
	Now func() time.Time
	// Step is told what is being done; nil tells nobody.
	Step func(text string)
}

// New returns a Builder.
func New(o Options) *Builder {
	return &Builder{
		Options:  o,
		memo:     memo{dir: filepath.Join(o.Cache.Dir(), "memo")},
		releases: map[string]*once[*archive.Release]{},
		pools:    map[string]*once[*pool]{},
		chains:   map[string][]*step{},
		verified: map[string]*checked{},
	}
}

func (b *Builder) jobs() int {
	if b.Jobs > 0 {
		return b.Jobs
	}
	return runtime.GOMAXPROCS(0)
}

func (b *Builder) step(format string, args ...any) {
	if b.Options.Step != nil {
		b.Options.Step(fmt.Sprintf(format, args...))
	}
}

// chain is [Catalog.chain], read once per image and distro.
func (b *Builder) chain(image, distro string) ([]*step, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := image + "/" + distro
	if c, ok := b.chains[key]; ok {
		return c, nil
	}
	c, err := b.Catalog.chain(image, distro)
	if err == nil {
		b.chains[key] = c
	}
	return c, err
}

// Archs returns the architectures that an image is defined for in a distro, by
// Debian's names, in the order of listings.
func (b *Builder) Archs(image, distro string) ([]string, error) {
	d, err := b.Catalog.Distro(distro)
	if err != nil {
		return nil, err
	}
	c, err := b.chain(image, d.Name)
	if err != nil {
		return nil, err
	}
	return archs(c, d)
}

// suite describes one of a distro's suites to the archive client.
func (b *Builder) suite(d *spec.Distro, s spec.Suite) (archive.Suite, error) {
	addr, err := b.address.do(b.Address)
	if err != nil {
		return archive.Suite{}, err
	}
	keyring, err := b.keyring(d.Keyring)
	if err != nil {
		return archive.Suite{}, err
	}
	roots := addr.Main
	if s.Archive == "security" {
		roots = addr.Security
	}
	return archive.Suite{Name: s.Name, Roots: roots, Keyring: keyring}, nil
}

func (b *Builder) keyring(name string) (*archive.Keyring, error) {
	if b.Keyring != nil {
		return b.Keyring(name)
	}
	return archive.DebianKeyring(name)
}

// object says where a locked package may be found.
func (b *Builder) object(ctx context.Context, p *lock.Package) (fetch.Object, error) {
	o := fetch.Object{Name: p.File(), SHA256: p.SHA256, Size: p.Size}
	roots, err := b.roots(p)
	if err != nil {
		if b.Cache.Has(o) {
			return o, nil // the cache will do, without an address to mend it from
		}
		return o, fmt.Errorf("fetch %s: %w", o.Name, err)
	}
	for _, r := range roots {
		at, err := (archive.Suite{Name: p.Suite, Roots: r}).Object(p.Path, p.SHA256, p.Size)
		if err != nil {
			return o, err
		}
		o.URLs = append(o.URLs, at.URLs...)
	}
	return o, nil
}

// release fetches and verifies a suite's Release, once a run.
func (b *Builder) release(ctx context.Context, d *spec.Distro, s spec.Suite) (*archive.Release, error) {
	b.mu.Lock()
	key := d.Name + "/" + s.Name
	o := b.releases[key]
	if o == nil {
		o = new(once[*archive.Release])
		b.releases[key] = o
	}
	b.mu.Unlock()
	return o.do(func() (*archive.Release, error) {
		as, err := b.suite(d, s)
		if err != nil {
			return nil, err
		}
		b.step("verify %s", s.Name)
		return b.archive().Release(ctx, as)
	})
}

func (b *Builder) archive() *archive.Client { return &archive.Client{Fetch: b.Fetch, Now: b.Now} }

// NewReader returns a Builder that can only tell of the catalogue.
func NewReader(c *Catalog) *Builder {
	return &Builder{Options: Options{Catalog: c}, chains: map[string][]*step{}}
}
