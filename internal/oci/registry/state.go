package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"
)

// Action is what a push does with a blob.
type Action string

// The actions.
const (
	There  Action = "there"  // nothing: the repository has it, or manifests that name it
	Mount  Action = "mount"  // from another repository of the registry
	Upload Action = "upload" // from here
)

// State is what a registry has of a plan.
type State struct {
	Registry     string
	Repositories []*RepositoryState // as in the plan
}

// RepositoryState is what a registry has of one repository's part.
type RepositoryState struct {
	*Repository
	Now       map[string]string // by tag: its digest; "" where there is none
	Has       map[string]bool   // by a manifest's digest
	Actions   map[string]Action // by a blob's digest
	MountFrom map[string]string // by a blob's digest: the repository that has it, or will, or may
}

// Examine asks a registry what it has of a plan. It changes nothing. A tag
// that is never moved and is there for something else is an error.
func (c *Client) Examine(ctx context.Context, p *Plan) (*State, error) {
	s, err := c.reach(ctx, p)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.examine(ctx, p)
}

// reach begins a session for a plan.
func (c *Client) reach(ctx context.Context, p *Plan) (*session, error) {
	naming := p.Naming
	naming.Insecure = naming.Insecure || c.Insecure
	reg, _, err := naming.check()
	if err != nil {
		return nil, err
	}
	s := c.session(reg, transport.PushScope)
	err = c.again(ctx, func(ctx context.Context) error {
		_, err := s.access.ping(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reach registry %s: %w", reg.RegistryStr(), err)
	}
	return s, nil
}

func (s *session) group(ctx context.Context) (*errgroup.Group, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.jobs())
	return g, ctx
}

func (s *session) examine(ctx context.Context, p *Plan) (*State, error) {
	st := &State{Registry: s.access.registry.RegistryStr()}
	for _, r := range p.Repositories {
		st.Repositories = append(st.Repositories, &RepositoryState{Repository: r,
			Now: map[string]string{}, Has: map[string]bool{}, Actions: map[string]Action{}, MountFrom: map[string]string{}})
	}
	for _, step := range []func(context.Context, *State) error{s.examineTags, s.examineManifests, s.examineBlobs} {
		if err := step(ctx, st); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// examineTags asks what each tag names. That a tag names the right digest says
// that its manifest is there, without a further question.
func (s *session) examineTags(ctx context.Context, st *State) error {
	g, gctx := s.group(ctx)
	fresh := make([]bool, len(st.Repositories))
	for i, r := range st.Repositories {
		g.Go(func() (err error) {
			fresh[i], err = s.fresh(gctx, r)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	type question struct {
		r *RepositoryState
		t Tag
	}
	var all []question
	for i, r := range st.Repositories {
		for _, t := range r.Tags {
			if _, known := r.Now[t.Name]; !known && !fresh[i] {
				all = append(all, question{r, t})
			}
		}
	}
	found := make([]string, len(all))
	g, gctx = s.group(ctx)
	for i, q := range all {
		g.Go(func() (err error) {
			found[i], err = s.resolve(gctx, q.r.Name, q.t.Name)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, q := range all {
		q.r.Now[q.t.Name] = found[i]
	}
	var errs []error
	for _, r := range st.Repositories {
		for _, t := range r.Tags {
			if now := r.Now[t.Name]; now != "" {
				r.Has[now] = true
				errs = append(errs, t.conflict(r.Name, now))
			}
		}
	}
	return errors.Join(errs...)
}

// fresh reports whether a repository has no tags at all, so that none has to
// be asked for. It begins with one tag, whose answer it keeps: where that is
// there, nothing is fresh. A registry that does not list tags has none fresh.
func (s *session) fresh(ctx context.Context, r *RepositoryState) (bool, error) {
	if len(r.Tags) == 0 {
		return true, nil
	}
	last := r.Tags[len(r.Tags)-1].Name
	now, err := s.resolve(ctx, r.Name, last)
	if err != nil {
		return false, err
	}
	if r.Now[last] = now; now != "" || len(r.Tags) < 3 {
		return false, nil
	}
	a, err := s.do(ctx, call{method: http.MethodGet, repository: r.Name, path: "tags/list?n=1", good: []int{200, 400, 401, 403, 404, 405, 501}})
	if err != nil {
		return false, fmt.Errorf("list tags of %s: %w", r.Name, err)
	}
	var list struct{ Tags []string }
	switch {
	case a.status == http.StatusNotFound:
		return true, nil
	case a.status != http.StatusOK:
		return false, nil
	}
	return json.Unmarshal(a.body, &list) == nil && len(list.Tags) == 0, nil
}

// conflict is the error of a tag that would be moved and must not.
func (t *Tag) conflict(repository, now string) error {
	if !t.Immutable || now == "" || now == t.Digest {
		return nil
	}
	return fmt.Errorf("tag %s:%s is there already, for %s, and this is %s: a release is never moved: choose another --release",
		repository, t.Name, now, t.Digest)
}

// manifestTypes are the manifests and indices that are asked for.
const manifestTypes = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " +
	"application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"

// resolve returns the digest that a tag or digest names, or "".
func (s *session) resolve(ctx context.Context, repository, reference string) (string, error) {
	accept := map[string]string{"Accept": manifestTypes}
	c := call{method: http.MethodHead, repository: repository, path: "manifests/" + reference, header: accept, good: []int{200, 404}}
	a, err := s.do(ctx, c)
	if err == nil && a.status == http.StatusOK && a.header.Get("Docker-Content-Digest") == "" {
		// The header is a recommendation only.
		c.method = http.MethodGet
		if a, err = s.do(ctx, c); err == nil {
			sum := sha256.Sum256(a.body)
			a.header.Set("Docker-Content-Digest", "sha256:"+hex.EncodeToString(sum[:]))
		}
	}
	if err != nil {
		return "", fmt.Errorf("look for %s in %s: %w", reference, repository, err)
	}
	if a.status != http.StatusOK {
		return "", nil
	}
	return a.header.Get("Docker-Content-Digest"), nil
}

func (s *session) examineManifests(ctx context.Context, st *State) error {
	g, ctx := s.group(ctx)
	for _, r := range st.Repositories {
		if len(r.Has) == 0 {
			continue // to upload what an interrupted push has left costs no more than to ask for it
		}
		there := make([]string, len(r.Manifests))
		for i, m := range r.Manifests {
			if r.Has[m.Digest] {
				continue
			}
			g.Go(func() (err error) {
				there[i], err = s.resolve(ctx, r.Name, m.Digest)
				return err
			})
		}
		defer func() {
			for _, d := range there {
				if d != "" {
					r.Has[d] = true
				}
			}
		}()
	}
	return g.Wait()
}

// examineBlobs decides for each blob of the manifests that are missing where
// it comes from. A registry keeps the blobs of manifests that it has, so those
// are not asked for.
func (s *session) examineBlobs(ctx context.Context, st *State) error {
	g, ctx := s.group(ctx)
	wanted, order := st.wanted()
	names := map[string]bool{}
	for _, r := range st.Repositories {
		names[r.Name] = true
	}
	for _, digest := range order {
		g.Go(func() error { return s.examineBlob(ctx, digest, wanted[digest], names) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for digest, claims := range wanted {
		for _, c := range claims {
			c.Actions[digest] = c.action
			if c.from != "" {
				c.MountFrom[digest] = c.from
			}
		}
	}
	return nil
}

// claim is a repository with respect to one blob.
type claim struct {
	*RepositoryState
	missing bool // a manifest that names the blob is not there
	action  Action
	from    string
}

// wanted lists for each blob the repositories that it belongs in.
func (st *State) wanted() (map[string][]*claim, []string) {
	wanted := map[string][]*claim{}
	var order []string
	for _, r := range st.Repositories {
		by := map[string]*claim{}
		for _, m := range r.Manifests {
			for _, b := range m.Blobs {
				c := by[b.Digest]
				if c == nil {
					c = &claim{RepositoryState: r, missing: true}
					by[b.Digest] = c
					if wanted[b.Digest] == nil {
						order = append(order, b.Digest)
					}
					wanted[b.Digest] = append(wanted[b.Digest], c)
				}
				c.missing = c.missing && !r.Has[m.Digest]
			}
		}
	}
	return wanted, order
}

// examineBlob finds a repository that has a blob, then lets the others mount
// it from there. Where none has it, the first uploads it.
func (s *session) examineBlob(ctx context.Context, digest string, claims []*claim, names map[string]bool) error {
	holder := ""
	for _, c := range claims {
		if !c.missing {
			c.action = There
			if holder == "" {
				holder = c.Name
			}
		}
	}
	for i, c := range claims {
		// A repository in which nothing at all was found is asked only if it
		// is the first, where an interrupted push would have left the blob.
		if !c.missing || holder != "" || i > 0 && len(c.Has) == 0 {
			continue
		}
		has, err := s.hasBlob(ctx, c.Name, digest)
		if err != nil {
			return err
		}
		if has {
			c.action, holder = There, c.Name
		}
	}
	for _, c := range claims {
		switch {
		case c.action != "":
		case holder != "":
			c.action, c.from = Mount, holder
		default:
			c.action, c.from, holder = Upload, c.outside(names), c.Name
		}
	}
	return nil
}

// outside is the first repository of another push that this one's images
// stand on, if there is any.
func (r *Repository) outside(names map[string]bool) string {
	for _, f := range r.From {
		if !names[f] {
			return f
		}
	}
	return ""
}

// Summary counts what a push will do: blobs by action, bytes to upload and
// manifests to upload.
func (st *State) Summary() (blobs map[Action]int, bytes int64, manifests int) {
	blobs = map[Action]int{}
	for _, r := range st.Repositories {
		for _, b := range r.Blobs {
			blobs[r.Actions[b.Digest]]++
			if r.Actions[b.Digest] == Upload {
				bytes += b.Size
			}
		}
		for _, m := range r.Manifests {
			if !r.Has[m.Digest] {
				manifests++
			}
		}
	}
	return blobs, bytes, manifests
}

// Reference is a tag's full name.
func (st *State) Reference(r *RepositoryState, tag string) string {
	return strings.Join([]string{st.Registry, r.Name}, "/") + ":" + tag
}
