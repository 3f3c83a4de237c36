package build

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"distroless/internal/debian/archive"
	"distroless/internal/debian/index"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/spec"
)

// thirdParty is an apt repository that a definition names.
type thirdParty struct {
	spec.Archive
	suite archive.Suite
}

// thirdParties returns the repositories of a chain that serve an architecture.
// A package of one has the repository's name as its suite in the lock.
func (b *Builder) thirdParties(chain []*step, arch string) ([]*thirdParty, error) {
	var out []*thirdParty
	for _, s := range chain {
		for _, a := range s.Sect.Archives {
			if !forArch(a.Archs, arch) {
				continue
			}
			keyring, err := archive.ParseKeyring(s.files[path.Clean(a.Key)])
			if err != nil {
				return nil, fmt.Errorf("archive %s: key %s: %w", a.Name, a.Key, err)
			}
			for _, other := range out {
				if other.Name == a.Name {
					return nil, fmt.Errorf("archive %s: named twice in the chain of %s: give one another name", a.Name, s.Name)
				}
			}
			out = append(out, &thirdParty{a, archive.Suite{Name: a.Suite, Roots: a.URLs, Keyring: keyring}})
		}
	}
	return out, nil
}

// packages reads the repository's indices for an architecture.
func (t *thirdParty) packages(ctx context.Context, b *Builder, arch string) ([]*index.Package, lock.Suite, error) {
	b.step("verify archive %s", t.Name)
	r, err := b.archive().Release(ctx, t.suite)
	if err != nil {
		return nil, lock.Suite{}, fmt.Errorf("archive %s: %w", t.Name, err)
	}
	state := lock.Suite{Suite: t.Name, Date: r.State.Date, Release: r.State.SHA256, Keyring: r.State.Keyring}
	components := t.Components
	if strings.HasSuffix(t.Suite, "/") {
		components = []string{""}
	} else if len(components) == 0 {
		components = []string{"main"}
	}
	var out []*index.Package
	for _, c := range components {
		x, err := b.archive().Packages(ctx, r, c, arch)
		if err != nil {
			return nil, state, fmt.Errorf("archive %s: %w", t.Name, err)
		}
		if err := readIndex(ctx, x, t.Name, func(p *index.Package) error {
			out = append(out, p)
			return nil
		}); err != nil {
			return nil, state, fmt.Errorf("archive %s: %w", t.Name, err)
		}
	}
	return out, state, nil
}

// roots are the addresses where a locked package's file may be: the
// repository's that it was locked from, else the distro's own.
func (b *Builder) roots(p *lock.Package) (roots [][]string, err error) {
	b.mu.Lock()
	for _, chain := range b.chains {
		for _, s := range chain {
			i := slices.IndexFunc(s.Sect.Archives, func(a spec.Archive) bool { return a.Name == p.Suite })
			if i >= 0 {
				roots = append(roots, s.Sect.Archives[i].URLs)
			}
		}
	}
	b.mu.Unlock()
	if roots != nil {
		return roots, nil
	}
	addr, err := b.address.do(b.Address)
	if err != nil {
		return nil, err
	}
	// The suite's own archive first; a point release moves packages from
	// security to main, so the other one is worth a try.
	if strings.HasSuffix(p.Suite, "-security") {
		return [][]string{addr.Security, addr.Main}, nil
	}
	return [][]string{addr.Main, addr.Security}, nil
}
