package build

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"distroless/internal/debian/deb"
	"distroless/internal/fetch"
	"distroless/internal/oci/layer"
	"distroless/internal/plan/lock"
	"distroless/internal/rootfs"
)

// run is the state of one call of [Builder.Images]: what has been read and made
// so far, shared by all images of the call.
type run struct {
	b    *Builder
	lock *lock.Lock
	sem  chan struct{} // as many tokens as jobs

	mu       sync.Mutex
	byID     map[string]*node
	debs     map[string]*debState       // by the .deb's sha256
	holds    map[string]string          // a file's digest to the .deb that holds it
	contents map[string]rootfs.Contents // files' bytes in memory, by .deb; "" are the generated ones
	users    map[string]int             // how many levels still to be written have a .deb
	upstream map[string]*node           // large files that are not Debian's, and are no longer in memory, by digest: whose they are
}

// debState is one .deb of the run.
type debState struct {
	pkg     lock.Package
	wanted  func(string) bool
	started atomic.Bool
	done    chan struct{} // closed once listing and err are set
	listing *rootfs.Listing
	err     error
}

func newDebState(p lock.Package, wanted func(string) bool) *debState {
	return &debState{pkg: p, wanted: wanted, done: make(chan struct{})}
}

func (b *Builder) newRun() *run {
	return &run{
		b: b, lock: b.Lock, sem: make(chan struct{}, b.jobs()), byID: map[string]*node{},
		debs: map[string]*debState{}, holds: map[string]string{}, contents: map[string]rootfs.Contents{"": {}}, users: map[string]int{}, upstream: map[string]*node{},
	}
}

// taskGroup runs tasks, each holding one of the run's tokens. The first error
// ends the others and is returned; a task must not wait for another group.
type taskGroup struct {
	ctx    context.Context
	cancel context.CancelFunc
	sem    chan struct{}
	wg     sync.WaitGroup
	mu     sync.Mutex
	err    error
}

func (r *run) group(ctx context.Context) *taskGroup {
	g := &taskGroup{sem: r.sem}
	g.ctx, g.cancel = context.WithCancel(ctx)
	return g
}

// Go runs f on a goroutine once a token is free.
func (g *taskGroup) Go(f func(context.Context) error) {
	g.wg.Go(func() {
		select {
		case g.sem <- struct{}{}:
			defer func() { <-g.sem }()
		case <-g.ctx.Done():
			return
		}
		g.note(f(g.ctx))
	})
}

func (g *taskGroup) note(err error) {
	if err == nil {
		return
	}
	g.mu.Lock()
	if g.err == nil {
		g.err = err
	}
	g.mu.Unlock()
	g.cancel()
}

// Wait returns the first error once every task has ended.
func (g *taskGroup) Wait() error {
	g.wg.Wait()
	defer g.cancel()
	if g.err == nil {
		return g.ctx.Err()
	}
	return g.err
}

// deb returns the run's state of a package's .deb, as the level n uses it.
func (r *run) deb(n *node, p lock.Package) *debState {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.debs[p.SHA256]
	if !ok {
		d = newDebState(p, rootfs.Wanted(n.slices(), p.Name, n.distro.MergedUsr))
		r.debs[p.SHA256] = d
	}
	return d
}

// listings returns what the level's packages hold, in the lock's order.
func (r *run) listings(ctx context.Context, n *node) ([]*rootfs.Listing, error) {
	packages := n.packages()
	if err := r.readAll(ctx, []*node{n}); err != nil {
		return nil, err
	}
	out := make([]*rootfs.Listing, len(packages))
	for i := range packages {
		out[i] = r.deb(n, packages[i]).listing
	}
	return out, nil
}

// readAll reads the packages of levels, the largest of all first: what stands
// on it waits longest, and the last to end should be a short one. A package
// that somebody else is reading is waited for, without a token.
func (r *run) readAll(ctx context.Context, nodes []*node) error {
	var debs []*debState
	for _, n := range nodes {
		for _, p := range n.packages() {
			debs = append(debs, r.deb(n, p))
		}
	}
	slices.SortFunc(debs, func(a, b *debState) int {
		return cmp.Or(cmp.Compare(b.pkg.Size, a.pkg.Size), strings.Compare(a.pkg.SHA256, b.pkg.SHA256))
	})
	for _, d := range debs {
		select {
		case <-d.done:
			continue
		case r.sem <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !d.started.CompareAndSwap(false, true) {
			<-r.sem
			continue
		}
		go func() {
			d.listing, d.err = r.list(ctx, d)
			<-r.sem
			close(d.done)
		}()
	}
	var first error
	for _, d := range debs {
		<-d.done // the reader of it ends soon once its context has
		if d.err != nil && (first == nil || errors.Is(first, context.Canceled)) {
			first = d.err
		}
	}
	return first
}

// list returns what a .deb holds: as remembered, or by reading it, which leaves
// the bytes of the files that the level needs in memory.
func (r *run) list(ctx context.Context, d *debState) (*rootfs.Listing, error) {
	key := memoKey("listing", strconv.Itoa(rootfs.ListingVersion), d.pkg.SHA256)
	l := new(rootfs.Listing)
	if r.b.memo.get("listing", key, l) {
		r.note(d, l)
		return l, nil
	}
	l, contents, err := r.unpack(ctx, d, d.wanted)
	if err != nil {
		return nil, err
	}
	if err := r.b.memo.put("listing", key, l); err != nil {
		return nil, err
	}
	r.note(d, l)
	r.mu.Lock()
	r.contents[d.pkg.SHA256] = contents
	r.mu.Unlock()
	return l, nil
}

// note remembers which .deb holds which file.
func (r *run) note(d *debState, l *rootfs.Listing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range l.Entries {
		if e := &l.Entries[i]; e.Kind == rootfs.File {
			r.holds[e.Digest] = d.pkg.SHA256
		}
	}
}

// unpack reads a .deb whose bytes have been checked against the lock.
func (r *run) unpack(ctx context.Context, d *debState, wanted func(string) bool) (*rootfs.Listing, rootfs.Contents, error) {
	in, err := r.b.openDeb(ctx, &d.pkg)
	if err != nil {
		return nil, nil, err
	}
	defer in.Close()
	o := deb.Options{Name: d.pkg.Name, Version: d.pkg.Version, Arch: d.pkg.Arch, Workers: r.b.jobs()}
	return rootfs.Unpack(ctx, in, d.pkg.File(), o, wanted)
}

// read returns the bytes of a file of the tree, reading its .deb again where
// they are no longer in memory.
func (r *run) read(ctx context.Context, e *rootfs.Entry) ([]byte, error) {
	r.mu.Lock()
	if data, ok := r.contents[""][e.Digest]; ok {
		r.mu.Unlock()
		return data, nil
	}
	holder := r.holds[e.Digest]
	data, ok := r.contents[holder][e.Digest]
	d, n := r.debs[holder], r.upstream[e.Digest]
	r.mu.Unlock()
	if ok {
		return data, nil
	}
	if n != nil {
		return r.readUpstream(ctx, n, e)
	}
	if d == nil {
		return nil, fmt.Errorf("read %s of %s: no package of the image holds sha256 %s: %w", e.Path, e.Owner, e.Digest, fs.ErrNotExist)
	}
	// All of the package's files, since the rules of this level may differ
	// from those under which it was first read.
	_, contents, err := r.unpack(ctx, d, func(string) bool { return true })
	if err != nil {
		return nil, err
	}
	data, ok = contents[e.Digest]
	if !ok {
		return nil, fmt.Errorf("read %s of %s: %s no longer holds sha256 %s: remove the cache and build again", e.Path, e.Owner, d.pkg.File(), e.Digest)
	}
	r.mu.Lock()
	r.contents[holder] = contents
	r.mu.Unlock()
	return data, nil
}

// keep holds generated files' bytes for the layers.
func (r *run) keep(c map[string][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for digest, data := range c {
		r.contents[""][digest] = data
	}
}

// use notes that layers of these levels and no others are to be written now,
// which the bytes of their packages stay in memory for.
func (r *run) use(missing []*node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.users) // an earlier call may have failed half-way
	for _, n := range missing {
		for _, p := range n.packages() {
			r.users[p.SHA256]++
		}
	}
}

// release frees the bytes of a level's packages, once its layers are written
// and no other level is to have them, and of its large files that are not
// Debian's. A large package is freed in any case. Small packages, small files
// and those of debug levels stay: what the levels above still read is among them,
// such as licences, the dynamic linker's configuration and busybox.
func (r *run) release(n *node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range n.packages() {
		if r.users[p.SHA256] > 0 {
			r.users[p.SHA256]--
		}
		unused := r.users[p.SHA256] == 0 && p.Size > smallDeb && !n.debug
		if unused || p.Size > largeDeb {
			r.contents[p.SHA256] = smallFiles(r.contents[p.SHA256])
		}
	}
	if lv := n.levelOnce.value; lv != nil && !n.debug && len(n.cell.Upstream) > 0 {
		for digest, data := range lv.Bytes {
			if len(data) > largeDeb {
				delete(r.contents[""], digest)
				r.upstream[digest] = n
			}
		}
		lv.Bytes = nil
	}
}

// smallFiles copies the small ones of some files out of the memory that all of
// them share.
func smallFiles(c rootfs.Contents) rootfs.Contents {
	out := rootfs.Contents{}
	for digest, data := range c {
		if len(data) <= smallFile {
			out[digest] = bytes.Clone(data)
		}
	}
	return out
}

// openDeb returns a locked .deb, checked to the last byte: from the cache, else
// from the archive. A large one is not held in memory: it is read twice, the
// second time while it is decoded, and checked both times.
func (b *Builder) openDeb(ctx context.Context, p *lock.Package) (io.ReadCloser, error) {
	o, err := b.object(ctx, p)
	if err != nil {
		return nil, err
	}
	if p.Size <= largeDeb {
		data, err := b.Fetch.Get(ctx, o)
		return io.NopCloser(bytes.NewReader(data)), explainGone(err)
	}
	for tries := 0; ; tries++ {
		r, err := b.Fetch.Open(ctx, o)
		if err != nil {
			return nil, explainGone(err)
		}
		err = r.Verify()
		r.Close()
		if errors.Is(err, fetch.ErrChecksum) && tries == 0 {
			continue // damaged in the cache and gone from it; fetch it again
		}
		if err != nil {
			return nil, err
		}
		return b.Fetch.Open(ctx, o)
	}
}

func layerObject(l layer.Blob) fetch.Object {
	return fetch.Object{Name: "layer " + l.Digest, SHA256: l.Digest[len("sha256:"):], Size: l.Size}
}

// explainGone adds the mend to an error that says a locked package is no longer
// to be had.
func explainGone(err error) error {
	// Where one mirror has other bytes and the next has none, the bytes are
	// what there is to tell.
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fetch.ErrChecksum) {
		return fmt.Errorf("%w: the archive no longer has this version: run \"distroless lock\" to take the newest, or name a mirror that keeps old ones; where locking takes it again, the archive lists what it does not have: name another", err)
	}
	return err
}
