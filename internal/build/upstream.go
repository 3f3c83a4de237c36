package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"distroless/internal/fetch"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/spec"
	"distroless/internal/rootfs"
	"distroless/internal/upstream"
)

// maxUpstream bounds an archive that is not Debian's, in bytes.
const maxUpstream = 1 << 30

// lockUpstream finds and fetches the archives of a definition, and records
// their digests. keep are the versions to stay with where they still fit.
func (b *Builder) lockUpstream(ctx context.Context, list []spec.Upstream, arch string, keep []lock.Upstream) ([]lock.Upstream, error) {
	var out []lock.Upstream
	for _, u := range list {
		if !forArch(u.Archs, arch) {
			continue
		}
		if old := kept(keep, u); old != nil {
			out = append(out, *old)
			continue
		}
		l, err := b.lockOne(ctx, u)
		if err != nil {
			return nil, fmt.Errorf("upstream %s: %w", u.Name, err)
		}
		out = append(out, *l)
	}
	return out, nil
}

// kept is the locked archive that a definition's entry still means.
func kept(keep []lock.Upstream, u spec.Upstream) *lock.Upstream {
	for i := range keep {
		k := &keep[i]
		fits := u.Version == "" || k.Version == u.Version || u.Npm != "" && strings.HasPrefix(k.Version, u.Version+".")
		if k.Name == u.Name && k.Npm == u.Npm && fits && (u.SHA256 == "" || u.SHA256 == k.SHA256) {
			return k
		}
	}
	return nil
}

// withoutRegistry names, where a machine knows no npm registry, the images of the
// same family that need none.
func (b *Builder) withoutRegistry(err error, key lock.Key) error {
	if !errors.Is(err, upstream.ErrNoRegistry) {
		return err
	}
	if others := b.Catalog.Relatives(key.Image, key.Distro, key.Arch, true); len(others) > 0 {
		return fmt.Errorf("%w; or build %s, which needs none", err, strings.Join(others, " or "))
	}
	return err
}

func (b *Builder) lockOne(ctx context.Context, u spec.Upstream) (*lock.Upstream, error) {
	l := &lock.Upstream{Name: u.Name, Version: u.Version}
	var data []byte
	if u.Npm != "" {
		r, err := b.registry(u)
		if err != nil {
			return nil, err
		}
		b.step("find npm package %s", u.Npm)
		rel, err := r.Find(ctx, u.Npm, u.Version)
		if err != nil {
			return nil, err
		}
		if data, err = r.Get(ctx, rel, maxUpstream); err != nil {
			return nil, err
		}
		l.Version, l.Npm, l.Path, l.Integrity = rel.Version, rel.Package, rel.Path, rel.Integrity
	} else {
		resp, err := b.Fetch.GetUnpinned(ctx, strings.ReplaceAll(u.URL, "{version}", u.Version), maxUpstream)
		if err != nil {
			return nil, err
		}
		data = resp.Data
	}
	sum := sha256.Sum256(data)
	l.SHA256, l.Size = hex.EncodeToString(sum[:]), int64(len(data))
	if u.SHA256 != "" && u.SHA256 != l.SHA256 {
		return nil, fmt.Errorf("the archive has sha256 %s, the definition says %s", l.SHA256, u.SHA256)
	}
	l.Purl = strings.ReplaceAll(u.Purl, "{version}", l.Version)
	l.CPE = strings.ReplaceAll(u.CPE, "{version}", l.Version)
	_, err := b.Cache.Put(data)
	return l, err
}

// registry is the npm registry for an entry: the definition's, else the
// machine's.
func (b *Builder) registry(u spec.Upstream) (*upstream.Registry, error) {
	address := u.Registry
	if address == "" && b.Npm != nil {
		c, err := b.npm.do(b.Npm)
		if err != nil {
			return nil, fmt.Errorf("find the npm registry: %w", err)
		}
		address = c.RegistryFor(u.Npm)
	}
	return &upstream.Registry{Address: address, Fetch: b.Fetch}, nil
}

// upstreamObject says where a locked archive may be found.
func (b *Builder) upstreamObject(l *lock.Upstream, u spec.Upstream) (fetch.Object, error) {
	o := fetch.Object{Name: l.Name + " " + l.Version, SHA256: l.SHA256, Size: l.Size}
	if l.Npm == "" {
		o.URLs = []string{strings.ReplaceAll(u.URL, "{version}", l.Version)}
		return o, nil
	}
	r, err := b.registry(u)
	if err == nil {
		var at string
		if at, err = r.URL(l.Path); err == nil {
			o.URLs = []string{at}
		}
	}
	if err != nil && b.Cache.Has(o) {
		return o, nil // the cache will do, without an address to mend it from
	}
	return o, err
}

// upstreamObjects lists the archives of a level.
func (r *run) upstreamObjects(n *node) ([]fetch.Object, error) {
	var out []fetch.Object
	err := n.eachUpstream(func(l *lock.Upstream, u spec.Upstream) error {
		o, err := r.b.upstreamObject(l, u)
		out = append(out, o)
		return err
	})
	return out, err
}

// eachUpstream calls f with each locked archive of a level and the entry of the
// definition that it is for.
func (n *node) eachUpstream(f func(*lock.Upstream, spec.Upstream) error) error {
	if n.debug {
		return nil
	}
	for _, u := range n.step.Sect.Upstream {
		if !forArch(u.Archs, n.key.Arch) {
			continue
		}
		l := kept(n.cell.Upstream, u)
		if l == nil {
			return fmt.Errorf("upstream %s: not in the lock: run \"distroless lock %s\"", u.Name, n.key.Image)
		}
		if err := f(l, u); err != nil {
			return fmt.Errorf("upstream %s: %w", u.Name, err)
		}
	}
	return nil
}

// upstreamContents reads the files that a level takes from archives that are
// not Debian's.
func (r *run) upstreamContents(ctx context.Context, n *node) ([]rootfs.Content, error) {
	var out []rootfs.Content
	err := n.eachUpstream(func(l *lock.Upstream, u spec.Upstream) error {
		o, err := r.b.upstreamObject(l, u)
		if err != nil {
			return err
		}
		data, err := r.b.Fetch.Get(ctx, o)
		if err != nil {
			return err
		}
		files, err := upstream.Extract(ctx, data, u.Paths)
		for _, f := range files {
			e := rootfs.Entry{Path: f.Path, Kind: rootfs.File, Mode: 0o644, Owner: l.Name}
			if f.Executable {
				e.Mode = 0o755
			}
			out = append(out, rootfs.Content{Entry: e, Bytes: f.Bytes})
		}
		return err
	})
	return out, err
}

// readUpstream returns the bytes of a level's file that is not Debian's, from
// its archive, once they are no longer in memory.
func (r *run) readUpstream(ctx context.Context, n *node, e *rootfs.Entry) ([]byte, error) {
	list, err := r.upstreamContents(ctx, n)
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if sum := sha256.Sum256(c.Bytes); hex.EncodeToString(sum[:]) == e.Digest {
			return c.Bytes, nil
		}
	}
	return nil, fmt.Errorf("read %s of %s: its archive no longer holds sha256 %s: remove the cache and build again", e.Path, e.Owner, e.Digest)
}
