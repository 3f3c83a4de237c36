package build

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"distroless/internal/oci/image"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/spec"
)

// Made is one image of one distro, for all architectures and variants asked for.
type Made struct {
	Image, Distro string
	Archs         []string // Debian's names, in the order of listings
	Variants      []string
	// Images by variant and Debian's name of the architecture.
	Images map[string]map[string]*image.Image
	// Indices by variant. Empty where an architecture could not be made: an
	// index without one of its members would pass for the whole.
	Indices map[string]*image.Blob

	open func(digest string) (io.ReadCloser, error)
	link func(digest, file string) (bool, error)
}

// Reference is the image's name in a registry and as a folder: "base-debian13".
func (m *Made) Reference() string { return m.Image + "-" + m.Distro }

// Images makes the images of cells that the lock holds. It chooses nothing:
// the same definitions and lock give the same bytes. Cells of one image and
// distro become one Made. incomplete names cells that were asked for and are
// not among keys, so that no index is made without them.
func (b *Builder) Images(ctx context.Context, keys, incomplete []lock.Key, variants []string) ([]*Made, []*CellError) {
	r := b.newRun()
	var failed []*CellError
	fail := func(keys []lock.Key, err error) {
		for _, k := range keys {
			failed = append(failed, &CellError{k, err})
		}
	}
	made := map[string]*Made{}
	var order []string
	for _, group := range platformGroups(keys) {
		tops, err := r.prepare(ctx, group, variants)
		if err != nil && b.KeepGoing && ctx.Err() == nil {
			var alone []*CellError
			tops, alone = r.prepareEach(ctx, group, variants)
			failed = append(failed, alone...)
			err = nil
		}
		if err != nil {
			fail(group, err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		for _, t := range tops {
			name := t.key.Image + "-" + t.key.Distro
			m := made[name]
			if m == nil {
				m = &Made{Image: t.key.Image, Distro: t.key.Distro, Variants: variants, open: b.openLayer, link: b.linkLayer,
					Images: map[string]map[string]*image.Image{}, Indices: map[string]*image.Blob{}}
				for _, v := range variants {
					m.Images[v] = map[string]*image.Image{}
				}
				made[name] = m
				order = append(order, name)
			}
			if err := r.variants(ctx, t, m); err != nil {
				fail([]lock.Key{t.key}, err)
				continue
			}
			m.Archs = append(m.Archs, t.key.Arch)
		}
		r.releaseAll()
	}
	missing := map[string]bool{}
	for _, k := range incomplete {
		missing[k.Image+"-"+k.Distro] = true
	}
	for _, e := range failed {
		missing[e.Key.Image+"-"+e.Key.Distro] = true
	}
	var out []*Made
	for _, name := range order {
		m := made[name]
		if len(m.Archs) == 0 {
			continue
		}
		slices.SortFunc(m.Archs, func(a, b string) int { return spec.PlatformOrder(a) - spec.PlatformOrder(b) })
		if !missing[name] {
			if err := b.index(m); err != nil {
				fail([]lock.Key{{Image: m.Image, Distro: m.Distro, Arch: m.Archs[0]}}, err)
				continue
			}
		}
		out = append(out, m)
	}
	return out, failed
}

// platformGroups divides cells by distro and architecture: those of one share
// packages, and their files' bytes are in memory together.
func platformGroups(keys []lock.Key) [][]lock.Key {
	by := map[string][]lock.Key{}
	var order []string
	for _, k := range keys {
		g := k.Distro + "/" + k.Arch
		if by[g] == nil {
			order = append(order, g)
		}
		by[g] = append(by[g], k)
	}
	out := make([][]lock.Key, len(order))
	for i, g := range order {
		out[i] = by[g]
	}
	return out
}

// top is one cell with the levels that its variants end in.
type top struct {
	key          lock.Key
	chain        []*step
	plain, debug *node
}

// prepare brings every .deb of the group's cells that is not in the cache, then
// makes all levels that are not remembered.
func (r *run) prepare(ctx context.Context, keys []lock.Key, variants []string) ([]*top, error) {
	wantDebug := slices.ContainsFunc(variants, isDebug)
	wantPlain := slices.ContainsFunc(variants, func(v string) bool { return !isDebug(v) })
	var tops []*top
	var nodes []*node
	seen := map[*node]bool{}
	for _, k := range keys {
		d, err := r.b.Catalog.Distro(k.Distro)
		if err != nil {
			return nil, err
		}
		chain, err := r.b.chain(k.Image, d.Name)
		if err != nil {
			return nil, err
		}
		t := &top{key: k, chain: chain}
		if t.plain, t.debug, err = r.nodes(chain, d, k.Arch); err != nil {
			return nil, err
		}
		tops = append(tops, t)
		ends := []*node{}
		if wantDebug {
			ends = append(ends, t.debug)
		}
		if wantPlain {
			ends = append(ends, t.plain)
		}
		for _, end := range ends {
			for at := end; at != nil; at = at.lower {
				if !seen[at] {
					seen[at] = true
					nodes = append(nodes, at)
				}
			}
		}
	}
	return tops, r.makeAll(ctx, nodes)
}

// prepareEach prepares cells one by one, so that one that fails leaves the
// others alone. What they share is made once.
func (r *run) prepareEach(ctx context.Context, keys []lock.Key, variants []string) (tops []*top, failed []*CellError) {
	for _, k := range keys {
		t, err := r.prepare(ctx, []lock.Key{k}, variants)
		if err != nil {
			failed = append(failed, &CellError{k, err})
			continue
		}
		tops = append(tops, t...)
	}
	return tops, failed
}

// releaseAll frees what only the levels made so far need.
func (r *run) releaseAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.contents)
	r.contents[""] = map[string][]byte{}
	clear(r.holds)
	clear(r.debs)
	clear(r.users)
	clear(r.byID)
	clear(r.upstream)
}

func isDebug(variant string) bool { return strings.HasPrefix(variant, "debug") }
func isNonroot(variant string) bool {
	return strings.HasSuffix(variant, "nonroot")
}

// nonrootUID is the user of nonroot variants, as the accounts of static have it.
const nonrootUID = "65532"

// variants makes the images of a cell.
func (r *run) variants(ctx context.Context, t *top, m *Made) error {
	below := map[string]*image.Image{} // the same variants of the image it stands on
	for i := range t.chain {
		for _, v := range m.Variants {
			img, err := r.image(ctx, t, i, v, below[v])
			if err != nil {
				return err
			}
			below[v] = img
		}
	}
	for _, v := range m.Variants {
		m.Images[v][t.key.Arch] = below[v]
	}
	return nil
}

// image makes the documents of one variant of the i-th image of a chain.
func (r *run) image(ctx context.Context, t *top, i int, variant string, from *image.Image) (*image.Image, error) {
	d, err := r.b.Catalog.Distro(t.key.Distro)
	if err != nil {
		return nil, err
	}
	plain, debug, err := r.nodes(t.chain[:i+1], d, t.key.Arch)
	if err != nil {
		return nil, err
	}
	end := plain
	if isDebug(variant) {
		end = debug
	}
	layers, err := r.stack(ctx, end)
	if err != nil {
		return nil, err
	}
	p, err := spec.ParseArch(t.key.Arch)
	if err != nil {
		return nil, err
	}
	s := settings(t.chain[:i+1], variant)
	s.Platform = image.Platform{OS: "linux", Architecture: p.OCI, Variant: p.Variant}
	for _, l := range layers {
		s.Created = max(s.Created, l.Created)
	}
	s.Annotations = r.annotations(t.chain[i], variant, s.Created, from)
	if err := r.nameVersion(&s, t.chain[:i+1], t.key); err != nil {
		return nil, err
	}
	return image.Build(s, layers)
}

// stack returns the layers of a level and all below it, the lowest first.
func (r *run) stack(ctx context.Context, n *node) ([]image.Layer, error) {
	var parts [][]image.Layer
	for at := n; at != nil; at = at.lower {
		l, err := r.layers(ctx, at)
		if err != nil {
			return nil, err
		}
		parts = append(parts, l)
	}
	slices.Reverse(parts)
	return slices.Concat(parts...), nil
}

// settings gathers what a chain's definitions say of how the image runs.
func settings(chain []*step, variant string) image.Settings {
	s := image.Settings{Env: map[string]string{}, Labels: map[string]string{}, User: "0", Workdir: "/"}
	workdir := ""
	var shell, path []string
	for _, st := range chain {
		maps.Copy(s.Env, st.Sect.Env)
		maps.Copy(s.Labels, st.Sect.Labels)
		if st.Sect.Entrypoint != nil {
			s.Entrypoint, s.Cmd = st.Sect.Entrypoint, nil
		}
		if st.Sect.Cmd != nil {
			s.Cmd = st.Sect.Cmd
		}
		if st.Sect.User != "" {
			s.User = st.Sect.User
		}
		if st.Sect.Workdir != "" {
			workdir = st.Sect.Workdir
		}
		if d := st.Sect.Debug; d != nil && isDebug(variant) {
			maps.Copy(s.Env, d.Env)
			path = append(path, d.Path...)
			if d.Shell != nil {
				shell = d.Shell
			}
		}
	}
	if len(path) > 0 {
		s.Env["PATH"] = strings.Join(append(splitPath(s.Env["PATH"]), path...), ":")
	}
	if isDebug(variant) && s.Entrypoint == nil && s.Cmd == nil {
		s.Entrypoint = shell
	}
	if isNonroot(variant) {
		s.User, s.Workdir = nonrootUID, "/home/nonroot"
	}
	if workdir != "" {
		s.Workdir = workdir
	}
	if len(s.Labels) == 0 {
		s.Labels = nil
	}
	return s
}

// annotations of a manifest: what the OCI image specification predefines and
// is known without asking anything outside definition and lock.
func (r *run) annotations(s *step, variant string, created int64, from *image.Image) map[string]string {
	const p = "org.opencontainers.image."
	a := map[string]string{
		p + "title":   s.Name + "-" + s.Distro,
		p + "created": time.Unix(created, 0).UTC().Format(time.RFC3339),
	}
	if d, err := r.b.Catalog.Image(s.Name); err == nil && d.Description != "" {
		a[p+"description"] = d.Description
	}
	if from != nil {
		a[p+"base.name"] = s.From + "-" + s.Distro + ":" + variant
		a[p+"base.digest"] = from.Manifest.Digest
	}
	return a
}

// index makes the index of each variant.
func (b *Builder) index(m *Made) error {
	for _, v := range m.Variants {
		var images []*image.Image
		for _, a := range m.Archs {
			images = append(images, m.Images[v][a])
		}
		a := map[string]string{"org.opencontainers.image.title": m.Reference()}
		if d, err := b.Catalog.Image(m.Image); err == nil && d.Description != "" {
			a["org.opencontainers.image.description"] = d.Description
		}
		idx, err := image.Index(images, a)
		if err != nil {
			return fmt.Errorf("make index %s:%s: %w", m.Reference(), v, err)
		}
		m.Indices[v] = &idx
	}
	return nil
}
