package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"distroless/internal/debian/index"
	"distroless/internal/debian/relation"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/resolve"
	"distroless/internal/plan/spec"

	"golang.org/x/sync/errgroup"
)

// Mode says what Resolve may do.
type Mode int

const (
	// Missing resolves cells that the lock does not hold, or holds for another
	// definition, and keeps every version that is fixed already.
	Missing Mode = iota
	// Locked resolves nothing: a missing or outdated cell is an error.
	Locked
	// Newest resolves every cell anew.
	Newest
)

// CellError is why one cell could not be made.
type CellError struct {
	Key lock.Key
	Err error
}

func (e *CellError) Error() string { return e.Key.String() + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *CellError) Unwrap() error { return e.Err }

// Change is a cell that Resolve has resolved.
type Change struct {
	Key      lock.Key
	Old, New *lock.Cell        // Old is nil for a new cell
	Notes    []string          // what a user should know: versions held back or moved, reasons that serve nothing
	Because  map[string]string // package to the relation it was chosen for
}

// Resolve brings the lock's cells for keys, and those that they stand on, up to
// date. Cells of one distro and architecture are resolved in their order, the
// others side by side. Errors of one architecture leave the others alone.
func (b *Builder) Resolve(ctx context.Context, keys []lock.Key, mode Mode) ([]Change, []*CellError) {
	type group struct{ distro, arch string }
	groups := map[group][]lock.Key{}
	var order []group
	for _, k := range keys {
		g := group{k.Distro, k.Arch}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], k)
	}
	var mu sync.Mutex
	changes := make([][]Change, len(order))
	failed := make([][]*CellError, len(order))
	eg := new(errgroup.Group)
	eg.SetLimit(max(2, b.jobs()))
	for i, g := range order {
		eg.Go(func() error {
			changes[i], failed[i] = b.resolveGroup(ctx, &mu, groups[g], mode)
			b.dropPools(g.distro, g.arch)
			return nil
		})
	}
	eg.Wait() // the functions return nil; errors are in failed
	return slices.Concat(changes...), slices.Concat(failed...)
}

// resolveGroup resolves the cells of one distro and architecture. mu guards
// the lock's map.
func (b *Builder) resolveGroup(ctx context.Context, mu *sync.Mutex, keys []lock.Key, mode Mode) (out []Change, failed []*CellError) {
	done := map[lock.Key]error{}
	for _, k := range keys {
		chain, err := b.chain(k.Image, k.Distro)
		if err != nil {
			failed = append(failed, &CellError{k, err})
			continue
		}
		for i, s := range chain {
			key := lock.Key{Image: s.Name, Distro: k.Distro, Arch: k.Arch}
			err, seen := done[key]
			if !seen {
				var c *Change
				c, err = b.resolveCell(ctx, mu, chain[:i+1], key, mode)
				done[key] = err
				if c != nil {
					out = append(out, *c)
				}
			}
			if err != nil {
				failed = append(failed, &CellError{k, lockHint(err, k.Image)})
				break
			}
		}
	}
	return out, failed
}

// outdatedError says why a lock cannot be built from as it is.
type outdatedError struct{ why string }

func (e *outdatedError) Error() string { return e.why }

// lockHint says how to go on where the lock is outdated: by the image that was
// asked for, since to lock one that it stands on would not be enough.
func lockHint(err error, image string) error {
	if _, ok := errors.AsType[*outdatedError](err); !ok {
		return err
	}
	return fmt.Errorf("%w: run without --locked, or \"distroless lock %s\"", err, image)
}

// resolveCell resolves the top of a chain, unless the lock's cell holds.
func (b *Builder) resolveCell(ctx context.Context, mu *sync.Mutex, chain []*step, key lock.Key, mode Mode) (*Change, error) {
	s := chain[len(chain)-1]
	mu.Lock()
	old := b.Lock.Cells[key]
	pinned := b.Lock.Versions(key.Distro, key.Arch)
	mu.Unlock()
	switch {
	case mode == Newest:
		pinned = nil // the levels below are fixed as they are
	case old != nil && old.Definition == s.digest:
		return nil, nil
	case mode == Locked && old == nil:
		return nil, &outdatedError{"not in the lock"}
	case mode == Locked:
		return nil, &outdatedError{fmt.Sprintf("the definition has changed since it was locked (%s, now %s)", short(old.Definition), short(s.digest))}
	}
	d, err := b.Catalog.Distro(key.Distro)
	if err != nil {
		return nil, err
	}
	extra, err := b.thirdParties(chain, key.Arch)
	if err != nil {
		return nil, err
	}
	p, err := b.pool(ctx, d, key.Arch, extra)
	if err != nil {
		return nil, err
	}
	b.step("resolve %s", key)
	var lower, debug []lock.Package
	mu.Lock()
	for _, below := range chain[:len(chain)-1] {
		c := b.Lock.Cells[lock.Key{Image: below.Name, Distro: key.Distro, Arch: key.Arch}]
		lower = append(lower, c.Packages...)
		debug = append(debug, c.Debug...)
	}
	mu.Unlock()
	c := &Change{Key: key, Old: old, Because: map[string]string{}}
	q := &question{b: b, pool: p, chain: chain, key: key, pinned: pinned, change: c}
	if c.New, err = q.cell(ctx, lower, debug); err != nil {
		return nil, err
	}
	c.New.Archive = p.state
	if err := notOlder(old, p.state); err != nil {
		return nil, err
	}
	var keep []lock.Upstream
	if old != nil && mode != Newest {
		keep = old.Upstream
	}
	if c.New.Upstream, err = b.lockUpstream(ctx, s.Sect.Upstream, key.Arch, keep); err != nil {
		return nil, b.withoutRegistry(err, key)
	}
	c.New.Layers = chooseLayers(s.Sect.Layers, c.New.Packages, old)
	mu.Lock()
	b.Lock.Cells[key] = c.New
	mu.Unlock()
	return c, nil
}

// notOlder refuses an archive that is older than the one a cell was locked
// against: a mirror that lies behind, or somebody who replays old indices, which
// are signed as well as new ones.
func notOlder(old *lock.Cell, now []lock.Suite) error {
	if old == nil {
		return nil
	}
	for _, was := range old.Archive {
		for _, is := range now {
			if is.Suite == was.Suite && is.Date.Before(was.Date) {
				return fmt.Errorf("suite %s: the archive is of %s, the lock was made against %s: name a mirror that is up to date with --archive, or take the cell out of the lock",
					is.Suite, is.Date.UTC().Format(time.RFC3339), was.Date.UTC().Format(time.RFC3339))
			}
		}
	}
	return nil
}

func short(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }

// question is one cell put to the resolver.
type question struct {
	b      *Builder
	pool   *pool
	chain  []*step
	key    lock.Key
	pinned map[string]string
	change *Change
}

// cell resolves the level, then its debug part on top of everything below.
func (q *question) cell(ctx context.Context, lower, lowerDebug []lock.Package) (*lock.Cell, error) {
	s := q.chain[len(q.chain)-1]
	c := &lock.Cell{Definition: s.digest, From: s.From, SourceDateEpoch: q.b.Epoch}
	var omit []spec.Omission
	for _, st := range q.chain {
		omit = append(omit, st.Sect.Omit...)
	}
	var err error
	if c.Packages, err = q.ask(ctx, c, s.Sect.Packages, omit, s.Sect.Omit, lower); err != nil {
		return nil, err
	}
	if d := s.Sect.Debug; d != nil {
		below := slices.Concat(lower, c.Packages, lowerDebug)
		if c.Debug, err = q.ask(ctx, c, d.Packages, append(omit, d.Omit...), d.Omit, below); err != nil {
			return nil, fmt.Errorf("debug: %w", err)
		}
	}
	return c, nil
}

// ask resolves one list of packages. own are the omissions that this level
// itself states, so that those which serve nothing can be told.
func (q *question) ask(ctx context.Context, c *lock.Cell, wanted []string, omit, own []spec.Omission, below []lock.Package) ([]lock.Package, error) {
	req := resolve.Request{Arch: q.key.Arch, Pool: q.pool.Pool, Pinned: q.pinned}
	direct := map[string]bool{}
	for _, w := range wanted {
		groups, err := relation.Parse(w)
		if err != nil {
			return nil, fmt.Errorf("packages: %w", err)
		}
		for _, g := range groups {
			if g = g.ForArch(q.key.Arch); len(g) == 0 {
				continue
			}
			req.Wanted = append(req.Wanted, g)
			for _, r := range g {
				direct[r.Name] = true
			}
		}
	}
	for _, o := range omit {
		req.Omit = append(req.Omit, resolve.Omission{Package: o.Package, Reason: o.Reason})
	}
	var err error
	if req.Base, err = q.b.base(ctx, q.pool, below); err != nil {
		return nil, err
	}
	res, err := resolve.Resolve(req)
	if err != nil {
		return nil, err
	}
	for _, w := range res.Waivers {
		c.Waivers = append(c.Waivers, lock.Waiver{Package: w.Package, Relation: w.Relation, Reason: w.Reason})
	}
	for _, name := range res.Unused {
		if slices.ContainsFunc(own, func(o spec.Omission) bool { return o.Package == name }) {
			q.change.Notes = append(q.change.Notes, fmt.Sprintf("omit %s: nothing depends on it", name))
		}
	}
	for _, m := range slices.Concat(res.Moved, res.Held) {
		q.change.Notes = append(q.change.Notes, fmt.Sprintf("%s: %s instead of %s: %s", m.Package, m.Chosen, m.Want, m.Because))
	}
	var out []lock.Package
	for _, ch := range res.Packages {
		q.change.Because[ch.Name] = ch.Because.Relation
		out = append(out, locked(ch.Package, direct[ch.Name], ch.Needs))
	}
	slices.SortFunc(out, func(a, b lock.Package) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func locked(p *index.Package, wanted bool, needs []string) lock.Package {
	l := lock.Package{
		Name: p.Name, Version: p.Version, Arch: p.Arch, Suite: p.Suite, Path: p.Path, Size: p.Size, SHA256: p.SHA256,
		Needs: needs, Wanted: wanted,
	}
	if p.Source != p.Name {
		l.Source = p.Source
	}
	if p.SourceVersion != p.Version {
		l.SourceVersion = p.SourceVersion
	}
	return l
}

const (
	ownLayerOver = 1 << 20 // bytes of .debs from which a source gets a layer of its own
	maxOwnLayers = 7       // in one level
)

// chooseLayers names the sources that have a layer of their own: those that
// the definition names, else the largest whose .debs are over a bound. One that
// had a layer keeps it down to half the bound, so that an update does not move
// packages to and fro.
func chooseLayers(named []string, packages []lock.Package, old *lock.Cell) []string {
	size := map[string]int64{}
	for i := range packages {
		size[packages[i].SourceName()] += packages[i].Size
	}
	var out []string
	if len(named) > 0 {
		for _, n := range named {
			if size[n] > 0 {
				out = append(out, n)
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	for _, s := range slices.Sorted(maps.Keys(size)) {
		if old != nil && slices.Contains(old.Layers, s) {
			size[s] *= 2 // so it stays, against the bound and against others
		}
		if size[s] > ownLayerOver {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return cmp.Compare(size[b], size[a]) })
	out = out[:min(len(out), maxOwnLayers)]
	slices.Sort(out)
	return out
}
