package build

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"distroless/internal/debian/archive"
	"distroless/internal/debian/deb822"
	"distroless/internal/debian/index"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/resolve"
	"distroless/internal/plan/spec"

	"golang.org/x/sync/errgroup"
)

// pool is what a distro's archive offers for one architecture.
type pool struct {
	*resolve.Pool
	byVersion map[string]*index.Package // by name and version
	state     []lock.Suite
}

// pool fetches, verifies and reads the indices that an architecture needs,
// once a run. A suite that does not verify is an error: there is no stepping
// back to the others.
func (b *Builder) pool(ctx context.Context, d *spec.Distro, arch string, extra []*thirdParty) (*pool, error) {
	key := d.Name + "/" + arch
	for _, t := range extra {
		key += "/" + t.Name + " " + strings.Join(t.URLs, " ")
	}
	b.mu.Lock()
	o := b.pools[key]
	if o == nil {
		o = new(once[*pool])
		b.pools[key] = o
	}
	b.mu.Unlock()
	return o.do(func() (*pool, error) {
		suites := d.SuitesFor(arch)
		if len(suites) == 0 {
			return nil, fmt.Errorf("%s has no suite for %s: expected one of %v", d.Name, arch, d.Archs())
		}
		parts := make([][]*index.Package, len(suites)+len(extra))
		states := make([]lock.Suite, len(suites)+len(extra))
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(b.jobs())
		errs := make([]error, len(parts))
		for i := range parts {
			g.Go(func() error {
				if i < len(suites) {
					parts[i], states[i], errs[i] = b.suitePackages(gctx, d, suites[i], arch)
				} else {
					parts[i], states[i], errs[i] = extra[i-len(suites)].packages(gctx, b, arch)
				}
				if errs[i] != nil && gctx.Err() != nil && ctx.Err() == nil {
					errs[i] = nil // ended by the other's error
				}
				return errs[i]
			})
		}
		if err := g.Wait(); err != nil {
			if all := errors.Join(errs...); all != nil {
				err = all
			}
			return nil, fmt.Errorf("%s for %s: %w", d.Name, arch, err)
		}
		all := slices.Concat(parts...)
		p := &pool{Pool: resolve.NewPool(arch, all), byVersion: make(map[string]*index.Package, len(all)), state: states}
		for _, pkg := range all {
			// The first suite that has a version is where it is taken from.
			if k := pkg.Name + "=" + pkg.Version; p.byVersion[k] == nil {
				p.byVersion[k] = pkg
			}
		}
		return p, nil
	})
}

// dropPools forgets what the archive offers for an architecture once its cells
// are resolved: some 100 MB each.
func (b *Builder) dropPools(distro, arch string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key := range b.pools {
		if of := distro + "/" + arch; key == of || strings.HasPrefix(key, of+"/") {
			delete(b.pools, key)
		}
	}
}

func (b *Builder) suitePackages(ctx context.Context, d *spec.Distro, s spec.Suite, arch string) ([]*index.Package, lock.Suite, error) {
	r, err := b.release(ctx, d, s)
	if err != nil {
		return nil, lock.Suite{}, err
	}
	state := lock.Suite{Suite: s.Name, Date: r.State.Date, Release: r.State.SHA256, Keyring: r.State.Keyring}
	var out []*index.Package
	for _, component := range s.Components {
		b.step("read %s %s for %s", s.Name, component, arch)
		x, err := b.archive().Packages(ctx, r, component, arch)
		if err != nil {
			return nil, state, err
		}
		if err := readIndex(ctx, x, s.Name, func(p *index.Package) error {
			out = append(out, p)
			return nil
		}); err != nil {
			return nil, state, err
		}
	}
	return out, state, nil
}

func readIndex(ctx context.Context, x *archive.Index, suite string, yield func(*index.Package) error) error {
	r, err := x.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	return index.Parse(ctx, r, suite, yield)
}

// base returns packages of lower levels as the resolver wants them: from the
// index, else, where the archive has moved on, from their own control file.
func (b *Builder) base(ctx context.Context, p *pool, locked []lock.Package) ([]*index.Package, error) {
	var out []*index.Package
	for i := range locked {
		l := &locked[i]
		if pkg := p.byVersion[l.Name+"="+l.Version]; pkg != nil {
			out = append(out, pkg)
			continue
		}
		pkg, err := b.fromDeb(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("package %s %s of a level below: %w", l.Name, l.Version, err)
		}
		out = append(out, pkg)
	}
	return out, nil
}

// fromDeb makes an index entry of a locked package that no index lists any
// longer, from the control file in its .deb.
func (b *Builder) fromDeb(ctx context.Context, l *lock.Package) (*index.Package, error) {
	r := b.newRun()
	listing, err := r.list(ctx, newDebState(*l, func(string) bool { return false }))
	if err != nil {
		return nil, err
	}
	paragraphs, err := deb822.Parse(listing.Control)
	if err != nil {
		return nil, err
	}
	if len(paragraphs) != 1 {
		return nil, fmt.Errorf("%d paragraphs in its control file, expected one", len(paragraphs))
	}
	c := paragraphs[0]
	return &index.Package{
		Name: l.Name, Version: l.Version, Arch: l.Arch, Source: l.SourceName(), SourceVersion: l.SourceVer(),
		MultiArch: c.Get("Multi-Arch"), PreDepends: c.Get("Pre-Depends"), Depends: c.Get("Depends"),
		Conflicts: c.Get("Conflicts"), Breaks: c.Get("Breaks"), Provides: c.Get("Provides"),
		Path: l.Path, Size: l.Size, SHA256: l.SHA256, Suite: l.Suite,
	}, nil
}
