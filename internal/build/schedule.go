package build

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"

	"distroless/internal/fetch"
	"distroless/internal/plan/lock"
)

// makeAll makes the layers of the nodes that are not remembered.
func (r *run) makeAll(ctx context.Context, nodes []*node) error {
	var missing []*node
	needed := map[*node]bool{}
	for _, n := range nodes {
		if _, ok := r.remembered(n); ok {
			continue
		}
		missing = append(missing, n)
		for at := n; at != nil; at = at.lower {
			needed[at] = true // its tree is
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := r.fetchAll(ctx, slices.Collect(maps.Keys(needed))); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.use(missing)
	// Packages of all levels are read at once, the largest first; a level goes
	// on as soon as its own are there.
	heavy, light := byWeight(slices.Collect(maps.Keys(needed)))
	errs := make(chan error, 1+len(heavy)+len(missing))
	lightRead := make(chan struct{})
	go func() {
		errs <- r.readAll(ctx, light)
		close(lightRead)
	}()
	// A level with a large package has it to itself, so that no two are in
	// memory together; a lower one comes first, since the others need its tree.
	// What stands on one waits for it: to ask for its tree would read it early.
	// All of them come after the small packages, whose bytes are written and
	// free by the time that a large one is in memory whole.
	written := map[*node]chan struct{}{}
	for _, n := range heavy {
		written[n] = make(chan struct{})
	}
	go func() {
		<-lightRead // which ends soon once ctx has
		for _, n := range heavy {
			errs <- r.makeHeavy(ctx, n, slices.Contains(missing, n))
			close(written[n])
		}
	}()
	for _, n := range missing {
		go func() {
			if written[n] != nil {
				errs <- nil // made above
				return
			}
			for at := n.lower; at != nil; at = at.lower {
				if written[at] != nil {
					<-written[at] // which ends soon once ctx has
				}
			}
			_, err := r.layers(ctx, n)
			errs <- err
		}()
	}
	var first error
	for range cap(errs) {
		if err := <-errs; err != nil && (first == nil || errors.Is(first, context.Canceled)) {
			first = err
			cancel()
		}
	}
	return first
}

// makeHeavy makes the layers of a level with a large package or archive, or its
// tree alone, and frees what was read for it.
func (r *run) makeHeavy(ctx context.Context, n *node, missing bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// What is free now would else be found out only when the next large package
	// has been read beside it.
	defer runtime.GC()
	if missing {
		_, err := r.layers(ctx, n)
		return err
	}
	_, err := r.level(ctx, n)
	r.release(n)
	return err
}

// largeDeb is the size in bytes from which a .deb is not held in memory whole,
// and its level is made on its own.
const largeDeb = 8 << 20

// smallDeb and smallFile are the sizes in bytes up to which a .deb's files, and
// a file of a larger one, stay in memory for the levels above.
const (
	smallDeb  = 256 << 10
	smallFile = 4 << 10
)

// byWeight divides levels into those with a large package or archive, the
// lowest first, and the others.
func byWeight(nodes []*node) (heavy, light []*node) {
	depth := func(n *node) (d int) {
		for ; n.lower != nil; n = n.lower {
			d++
		}
		return d
	}
	for _, n := range nodes {
		if slices.ContainsFunc(n.packages(), func(p lock.Package) bool { return p.Size > largeDeb }) ||
			!n.debug && slices.ContainsFunc(n.cell.Upstream, func(u lock.Upstream) bool { return u.Size > largeDeb }) {
			heavy = append(heavy, n)
		} else {
			light = append(light, n)
		}
	}
	slices.SortFunc(heavy, func(a, b *node) int { return cmp.Or(depth(a)-depth(b), strings.Compare(a.id, b.id)) })
	return heavy, light
}

// fetchAll brings the levels' .debs into the cache.
func (r *run) fetchAll(ctx context.Context, nodes []*node) error {
	var objects []fetch.Object
	seen := map[string]bool{}
	for _, n := range nodes {
		up, err := r.upstreamObjects(n)
		if err != nil {
			return err
		}
		for _, o := range up {
			if !seen[o.SHA256] && !r.b.Cache.Has(o) {
				objects = append(objects, o)
			}
			seen[o.SHA256] = true
		}
		for _, p := range n.packages() {
			if seen[p.SHA256] {
				continue
			}
			seen[p.SHA256] = true
			o, err := r.b.object(ctx, &p)
			if err != nil {
				return err
			}
			if !r.b.Cache.Has(o) {
				objects = append(objects, o)
			}
		}
	}
	if len(objects) == 0 {
		return nil
	}
	slices.SortFunc(objects, func(a, b fetch.Object) int { return strings.Compare(a.Name, b.Name) })
	r.b.step("fetch %d packages", len(objects))
	return explainGone(r.b.Fetch.FetchAll(ctx, objects))
}
