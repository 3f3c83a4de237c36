package build

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"distroless/internal/oci/image"
	"distroless/internal/oci/layer"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/spec"
	"distroless/internal/rootfs"
	"distroless/internal/rootfs/scripts"
)

// planVersion changes with anything in this program that changes what a level
// holds for the same definition and lock: rules for merging, generators, their
// texts. Layers remembered under another version are made anew.
const planVersion = "6"

// node is one level to be made: a step of a chain with its cell, or its debug
// part. Nodes form a tree, since every level stands on one other.
type node struct {
	key    lock.Key
	debug  bool
	step   *step
	distro *spec.Distro
	cell   *lock.Cell
	lower  *node
	id     string // digest of everything that the level depends on

	layersOnce once[[]image.Layer]
	levelOnce  once[*rootfs.Level]
}

// once makes a value the first time it is asked for, and keeps it or the error.
type once[T any] struct {
	mu    sync.Mutex
	done  bool
	value T
	err   error
}

func (o *once[T]) do(f func() (T, error)) (T, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.done {
		o.value, o.err = f()
		// An interrupted attempt says nothing of the next.
		o.done = !errors.Is(o.err, context.Canceled)
	}
	return o.value, o.err
}

// packages of the node, in the lock's order.
func (n *node) packages() []lock.Package {
	if n.debug {
		return n.cell.Debug
	}
	return n.cell.Packages
}

// name is how messages and the image's history call the level.
func (n *node) name() string {
	if n.debug {
		return n.key.Image + " debug"
	}
	return n.key.Image
}

// steps lists the definitions of the node and those below it, lowest first.
func (n *node) steps() []*step {
	var out []*step
	for at := n; at != nil; at = at.lower {
		if !at.debug {
			out = append(out, at.step)
		}
	}
	slices.Reverse(out)
	return out
}

// nodes returns the node of a chain's top, and that of its debug variants. The
// nodes of shared levels are shared.
func (r *run) nodes(chain []*step, d *spec.Distro, arch string) (plain, debug *node, err error) {
	for _, s := range chain {
		key := lock.Key{Image: s.Name, Distro: d.Name, Arch: arch}
		cell := r.lock.Cells[key]
		if cell == nil {
			return nil, nil, fmt.Errorf("cell %s: not in the lock: run \"distroless lock\"", key)
		}
		plain = r.node(&node{key: key, step: s, distro: d, cell: cell, lower: plain})
	}
	debug = plain
	for _, s := range chain {
		if s.Sect.Debug == nil {
			continue
		}
		key := lock.Key{Image: s.Name, Distro: d.Name, Arch: arch}
		debug = r.node(&node{key: key, debug: true, step: s, distro: d, cell: r.lock.Cells[key], lower: debug})
	}
	return plain, debug, nil
}

// node returns the run's one node of an identity.
func (r *run) node(n *node) *node {
	lower := ""
	if n.lower != nil {
		lower = n.lower.id
	}
	n.id = memoKey("level", planVersion, lower, n.step.digest, n.cell.Digest(), n.key.Arch,
		strconv.FormatBool(n.debug), strconv.FormatBool(n.distro.MergedUsr), n.distro.Version, r.b.Compression.String())
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.byID[n.id]; ok {
		return old
	}
	r.byID[n.id] = n
	return n
}

// plan is what is remembered of a level: its layers, complete and in the cache.
type plan struct {
	Layers []image.Layer `json:"layers"`
}

// layers returns the level's own layers, from the cache where the level and all
// of its layers are remembered there.
func (r *run) layers(ctx context.Context, n *node) ([]image.Layer, error) {
	return n.layersOnce.do(func() ([]image.Layer, error) {
		if p, ok := r.remembered(n); ok {
			return p.Layers, nil
		}
		lv, err := r.level(ctx, n)
		if err != nil {
			return nil, err
		}
		layers, err := r.writeLayers(ctx, n, lv)
		if err != nil {
			return nil, fmt.Errorf("level %s: %w", n.name(), err)
		}
		r.release(n)
		if err := r.b.memo.put("plan", n.id, plan{layers}); err != nil {
			return nil, err
		}
		return layers, nil
	})
}

func (r *run) remembered(n *node) (plan, bool) {
	var p plan
	if !r.b.memo.get("plan", n.id, &p) {
		return p, false
	}
	for _, l := range p.Layers {
		if !r.b.Cache.Has(layerObject(l.Blob)) {
			return p, false
		}
	}
	return p, true
}

// level assembles and checks the level's tree.
func (r *run) level(ctx context.Context, n *node) (*rootfs.Level, error) {
	return n.levelOnce.do(func() (*rootfs.Level, error) {
		var lower *rootfs.Tree
		if n.lower != nil {
			lv, err := r.level(ctx, n.lower)
			if err != nil {
				return nil, err
			}
			lower = lv.Tree
		}
		in, err := r.input(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("level %s: %w", n.name(), err)
		}
		in.Lower = lower
		lv, err := rootfs.Assemble(*in)
		if err != nil {
			return nil, fmt.Errorf("level %s: %w", n.name(), err)
		}
		r.keep(lv.Bytes)
		if err := r.check(n, lv); err != nil {
			return nil, fmt.Errorf("level %s: %w", n.name(), err)
		}
		return lv, nil
	})
}

// input gathers what the level is made of.
func (r *run) input(ctx context.Context, n *node) (*rootfs.Input, error) {
	listings, err := r.listings(ctx, n)
	if err != nil {
		return nil, err
	}
	in := &rootfs.Input{
		Arch: n.key.Arch, Packages: listings, Layers: map[string]string{}, Slices: n.slices(),
		MergedUsr: n.distro.MergedUsr, Epoch: n.cell.SourceDateEpoch,
		Read: func(e *rootfs.Entry) ([]byte, error) { return r.read(ctx, e) },
	}
	in.Pins = n.pins()
	if n.debug {
		in.Applets = n.step.Sect.Debug.Applets
		return in, nil
	}
	for _, p := range n.cell.Packages {
		if slices.Contains(n.cell.Layers, p.SourceName()) {
			in.Layers[p.Name] = p.SourceName()
		}
	}
	for _, u := range n.step.Sect.Accounts.Users {
		in.Users = append(in.Users, rootfs.User(u))
	}
	for _, g := range n.step.Sect.Accounts.Groups {
		in.Groups = append(in.Groups, rootfs.Group(g))
	}
	for _, name := range n.step.Sect.Certificates {
		in.Certificates = append(in.Certificates, rootfs.CertificateFile{Name: name, PEM: n.step.files[path.Clean(name)]})
	}
	if in.Contents, err = n.step.contents(n.key.Arch); err != nil {
		return nil, err
	}
	more, err := r.upstreamContents(ctx, n)
	in.Contents = append(in.Contents, more...)
	return in, err
}

// slices returns the path rules that hold for a level, those of the levels
// below first.
func (n *node) slices() []rootfs.Slice {
	var out []rootfs.Slice
	add := func(list []spec.Slice) {
		for _, s := range list {
			out = append(out, rootfs.Slice{Package: s.Package, Drop: s.Drop, Keep: s.Keep, KeepReferenced: s.KeepReferenced, Move: s.Move})
		}
	}
	for _, s := range n.steps() {
		add(s.Sect.Slices)
	}
	if n.debug {
		add(n.step.Sect.Debug.Slices)
	}
	return out
}

// pins returns the scripts that the chain's definitions account for.
func (n *node) pins() []scripts.Pin {
	var out []scripts.Pin
	add := func(list []spec.Script) {
		for _, s := range list {
			out = append(out, scripts.Pin{Package: s.Package, Script: s.Script, Digest: s.Digest, Effect: s.Effect, Args: s.Args, Reason: s.Reason})
		}
	}
	for at := n; at != nil; at = at.lower {
		if at.debug {
			add(at.step.Sect.Debug.Scripts)
		}
		add(at.step.Sect.Scripts)
	}
	return out
}

// contents turns the definition's contents into entries.
func (s *step) contents(arch string) ([]rootfs.Content, error) {
	var out []rootfs.Content
	for _, c := range s.Sect.Contents {
		if !forArch(c.Archs, arch) {
			continue
		}
		e := rootfs.Entry{Path: c.Path, UID: c.UID, GID: c.GID}
		mode, err := modeOf(c.Mode)
		if err != nil {
			return nil, fmt.Errorf("contents: %s: %w", c.Path, err)
		}
		switch {
		case c.Text != nil:
			e.Kind, e.Mode = rootfs.File, or(mode, 0o644)
			out = append(out, rootfs.Content{Entry: e, Bytes: []byte(*c.Text)})
		case c.Link != "":
			e.Kind, e.Mode, e.Target = rootfs.Symlink, 0o777, c.Link
			out = append(out, rootfs.Content{Entry: e})
		case c.Directory:
			e.Kind, e.Mode = rootfs.Dir, or(mode, 0o755)
			out = append(out, rootfs.Content{Entry: e})
		default:
			out = append(out, s.sources(c, e, mode)...)
		}
	}
	return out, nil
}

// sources are the entries of a local file, or of every file in a local folder.
func (s *step) sources(c spec.Content, e rootfs.Entry, mode uint32) []rootfs.Content {
	from := path.Clean(c.Source)
	var out []rootfs.Content
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		rest, ok := strings.CutPrefix(name, from)
		if from == "." {
			rest, ok = name, true
		} else if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		f := e
		f.Kind = rootfs.File
		f.Path = path.Join(e.Path, rest)
		f.Mode = or(mode, 0o644)
		if mode == 0 && strings.HasSuffix(s.Sums[name], " executable") {
			f.Mode = 0o755
		}
		out = append(out, rootfs.Content{Entry: f, Bytes: s.files[name]})
	}
	return out
}

func forArch(names []string, arch string) bool {
	if len(names) == 0 {
		return true
	}
	return slices.ContainsFunc(names, func(n string) bool {
		p, err := spec.ParseArch(n)
		return err == nil && p.Debian == arch
	})
}

func modeOf(text string) (uint32, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 8, 12)
	return uint32(n), err
}

func or(a, b uint32) uint32 {
	if a != 0 {
		return a
	}
	return b
}

// writeLayers writes the level's layers into the cache, several at a time.
func (r *run) writeLayers(ctx context.Context, n *node, lv *rootfs.Level) ([]image.Layer, error) {
	parts := lv.Layers()
	out := make([]image.Layer, len(parts))
	g := r.group(ctx)
	for i, part := range parts {
		g.Go(func(ctx context.Context) error {
			b, err := r.writeLayer(ctx, part)
			created := "distroless " + n.name()
			if part.Group != "" {
				created += ": " + part.Group
			}
			out[i] = image.Layer{Blob: b, CreatedBy: created, Created: newest(part)}
			return err
		})
	}
	return out, g.Wait()
}

func newest(l rootfs.Layer) int64 {
	var t int64
	for i := range l.Entries {
		if l.Entries[i].Kind == rootfs.File {
			t = max(t, l.Entries[i].MTime)
		}
	}
	if t == 0 {
		for i := range l.Entries {
			t = max(t, l.Entries[i].MTime)
		}
	}
	return t
}

// writeLayer returns a layer from the cache, or writes it there.
func (r *run) writeLayer(ctx context.Context, part rootfs.Layer) (layer.Blob, error) {
	key := layer.Key(part.Entries, r.b.Compression)
	var b layer.Blob
	if r.b.memo.get("layer", key, &b) && r.b.Cache.Has(layerObject(b)) {
		return b, nil
	}
	w, err := r.b.Cache.Create()
	if err != nil {
		return b, err
	}
	defer w.Close()
	b, err = layer.Write(ctx, w, part.Entries, func(e *rootfs.Entry) ([]byte, error) { return r.read(ctx, e) }, r.b.Compression)
	if err != nil {
		return b, err
	}
	if _, _, err := w.Commit(); err != nil {
		return b, err
	}
	return b, r.b.memo.put("layer", key, b)
}
