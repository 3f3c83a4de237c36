package registry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
)

// Result says what a push did.
type Result struct {
	Registry     string
	Repositories []*RepositoryState // as it was found before
	Uploaded     int64              // bytes of blobs
	Blobs        map[Action]int     // as it turned out
	Manifests    int                // that were uploaded
	Tags         int                // that were made or moved
	Requests     int64              // in all
}

// Push brings a plan about. Tags move when all else is in place; a push that
// fails or is interrupted before leaves no tag that was not right, and run
// again it goes on where it was.
func (c *Client) Push(ctx context.Context, p *Plan) (*Result, error) {
	s, err := c.reach(ctx, p)
	if err != nil {
		return nil, err
	}
	defer s.close()
	st, err := s.examine(ctx, p)
	if err != nil {
		return nil, err
	}
	w := &work{session: s, state: st, result: &Result{Registry: st.Registry, Repositories: st.Repositories, Blobs: map[Action]int{}}}
	for _, step := range []func(context.Context) error{w.blobs, w.manifests, w.referrers, w.tags} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	w.result.Uploaded, w.result.Requests = w.bytes.Load(), s.requests.Load()
	w.result.Blobs[Upload], w.result.Blobs[Mount], w.result.Blobs[There] = int(w.uploads.Load()), int(w.mounts.Load()), w.there
	return w.result, nil
}

// work is a push under way.
type work struct {
	*session
	state           *State
	result          *Result
	bytes           atomic.Int64
	uploads, mounts atomic.Int64
	there           int
}

// blobs brings the blobs: each is uploaded at most once, and mounted in the
// other repositories behind that.
func (w *work) blobs(ctx context.Context) error {
	type delivery struct {
		r *RepositoryState
		b *Blob
	}
	var order []string
	by := map[string][]delivery{}
	for _, action := range []Action{Upload, Mount} {
		for _, r := range w.state.Repositories {
			for _, b := range r.Blobs {
				if r.Actions[b.Digest] != action {
					continue
				}
				if by[b.Digest] == nil {
					order = append(order, b.Digest)
				}
				by[b.Digest] = append(by[b.Digest], delivery{r, b})
				if from := r.MountFrom[b.Digest]; from != "" {
					w.allow(r.Name, from)
				}
			}
		}
	}
	for _, r := range w.state.Repositories {
		for _, b := range r.Blobs {
			if r.Actions[b.Digest] == There {
				w.there++
			}
		}
	}
	// The largest first: they decide when the push ends.
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(by[b][0].b.Size, by[a][0].b.Size) })
	g, ctx := w.group(ctx)
	for _, digest := range order {
		g.Go(func() error {
			for _, d := range by[digest] {
				if err := w.deliver(ctx, d.r, d.b); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// allow makes a repository's next authorization include reading another.
func (w *work) allow(repository, from string) {
	for _, f := range w.also[repository] {
		if f == from {
			return
		}
	}
	w.also[repository] = append(w.also[repository], from)
	w.access.renew(repository)
}

func (w *work) deliver(ctx context.Context, r *RepositoryState, b *Blob) error {
	uploaded, err := w.bring(ctx, r.Name, b, r.MountFrom[b.Digest])
	if err != nil {
		return err
	}
	if uploaded {
		w.bytes.Add(b.Size)
		w.uploads.Add(1)
	} else {
		w.mounts.Add(1)
	}
	return nil
}

// manifests brings the manifests that are missing, those of one rank side by
// side. One that only tags name, and nothing else, comes with its first tag.
func (w *work) manifests(ctx context.Context) error {
	for rank, more := 0, true; more; rank++ {
		more = false
		g, ctx := w.group(ctx)
		for _, r := range w.state.Repositories {
			last := r.tagged()
			for _, m := range r.Manifests {
				more = more || m.rank > rank
				if m.rank != rank || r.Has[m.Digest] || last[m.Digest] {
					continue
				}
				w.result.Manifests++
				g.Go(func() error { return w.put(ctx, r.Name, m, m.Digest) })
			}
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// tagged are the manifests that a tag alone brings: those with a tag, in no
// index and without attachments.
func (r *Repository) tagged() map[string]bool {
	out := map[string]bool{}
	for _, t := range r.Tags {
		out[t.Digest] = !t.attachment
	}
	for _, m := range r.Manifests {
		for _, c := range m.Children {
			out[c] = false
		}
		if m.Subject != "" {
			out[m.Subject], out[m.Digest] = false, false
		}
	}
	return out
}

// put uploads a manifest under its digest or a tag. What it names is there and
// its digest is right, so a registry that denies this is looking at another
// request's half-written files, as CNCF's with its folder storage does, or has
// not caught up with itself: it is asked again a few times.
func (w *work) put(ctx context.Context, repository string, m *Manifest, reference string) error {
	c := call{
		method: http.MethodPut, repository: repository, path: "manifests/" + reference, good: []int{200, 201, 202},
		header: map[string]string{"Content-Type": m.MediaType}, size: int64(len(m.Bytes)),
		body: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m.Bytes)), nil },
	}
	a, err := w.do(ctx, c)
	for n := 0; n < 4 && denies(err); n++ {
		if err := sleep(ctx, w.pause(n)); err != nil {
			return err
		}
		a, err = w.do(ctx, c)
	}
	if err != nil {
		return fmt.Errorf("upload manifest %s to %s: %w", reference, repository, err)
	}
	if got := a.header.Get("Docker-Content-Digest"); got != "" && got != m.Digest {
		return fmt.Errorf("upload manifest %s to %s: the registry made %s of it: it alters manifests, and no digest would hold there", m.Digest, repository, got)
	}
	return nil
}

// denies reports whether a registry says that a manifest is wrong or names
// what is not there.
func denies(err error) bool {
	var no *Error
	if !errors.As(err, &no) {
		return false
	}
	switch no.Code {
	case "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN":
		return true
	}
	return false
}

// step is one wave of tags: those of one kind whose manifests have one rank.
type step struct{ kind, rank int }

// tags moves the tags: those of attachments, then those that are never moved
// again, then the others; those of manifests before those of their indices.
// Tags of one manifest move one after the other, all else side by side: no
// request reads in a registry's storage what another is writing there.
func (w *work) tags(ctx context.Context) error {
	waves := map[step][]func(context.Context) error{}
	for _, r := range w.state.Repositories {
		by := map[string]*Manifest{}
		for _, m := range r.Manifests {
			by[m.Digest] = m
		}
		last, counted := r.tagged(), map[string]bool{}
		moves := map[step]map[string][]Tag{}
		for _, t := range r.Tags {
			if r.Now[t.Name] == t.Digest {
				continue
			}
			w.result.Tags++
			if last[t.Digest] && !r.Has[t.Digest] && !counted[t.Digest] {
				counted[t.Digest] = true
				w.result.Manifests++
			}
			at := step{tagRank(t), by[t.Digest].rank}
			if moves[at] == nil {
				moves[at] = map[string][]Tag{}
			}
			moves[at][t.Digest] = append(moves[at][t.Digest], t)
		}
		for at, digests := range moves {
			for digest, tags := range digests {
				waves[at] = append(waves[at], func(ctx context.Context) error {
					for _, t := range tags {
						if err := w.move(ctx, r.Name, t, by[digest]); err != nil {
							return err
						}
					}
					return nil
				})
			}
		}
	}
	order := slices.SortedFunc(maps.Keys(waves), func(a, b step) int { return cmp.Or(a.kind-b.kind, a.rank-b.rank) })
	for _, at := range order {
		g, ctx := w.group(ctx)
		for _, f := range waves[at] {
			g.Go(func() error { return f(ctx) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// move points a tag at a manifest. One that must not be moved is looked at once
// more: another push can have made it in the meantime.
func (w *work) move(ctx context.Context, repository string, t Tag, m *Manifest) error {
	if t.Immutable {
		now, err := w.resolve(ctx, repository, t.Name)
		if err != nil {
			return err
		}
		if err := t.conflict(repository, now); err != nil || now == t.Digest {
			return err
		}
	}
	return w.put(ctx, repository, m, t.Name)
}
