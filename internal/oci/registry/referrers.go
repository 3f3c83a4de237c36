package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// referrers sees to it that attachments are found from their subjects: by the
// registry's own list, or where it keeps none by the tag that the distribution
// specification has for that, sha256-<hex>.
func (w *work) referrers(ctx context.Context) error {
	g, ctx := w.group(ctx)
	for _, r := range w.state.Repositories {
		by := map[string][]*Manifest{}
		for _, m := range r.Manifests {
			if m.Subject != "" {
				by[m.Subject] = append(by[m.Subject], m)
			}
		}
		for subject, all := range by {
			g.Go(func() error {
				if err := w.refer(ctx, r.Name, subject, all); err != nil {
					return fmt.Errorf("list attachments of %s in %s: %w", subject, r.Name, err)
				}
				return nil
			})
		}
	}
	return g.Wait()
}

// refer makes the list of one subject name its attachments.
func (w *work) refer(ctx context.Context, repository, subject string, all []*Manifest) error {
	a, err := w.do(ctx, call{method: http.MethodGet, repository: repository, path: "referrers/" + subject, good: []int{200, 400, 404, 405, 501}})
	if err != nil {
		return err
	}
	if a.status == http.StatusOK && strings.HasPrefix(a.header.Get("Content-Type"), string(types.OCIImageIndex)) {
		return nil // the registry lists them itself
	}
	return w.fallback(ctx, repository, strings.Replace(subject, ":", "-", 1), all)
}

// fallback adds attachments to the index under a subject's tag, and keeps what
// others have put there.
func (w *work) fallback(ctx context.Context, repository, tag string, all []*Manifest) error {
	a, err := w.do(ctx, call{method: http.MethodGet, repository: repository, path: "manifests/" + tag,
		header: map[string]string{"Accept": string(types.OCIImageIndex)}, good: []int{200, 404}})
	if err != nil {
		return err
	}
	idx := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	if a.status == http.StatusOK {
		if err := json.Unmarshal(a.body, &idx); err != nil || !idx.MediaType.IsIndex() && idx.MediaType != "" {
			return fmt.Errorf("tag %s:%s is not an index of attachments: remove it", repository, tag)
		}
	}
	before := len(idx.Manifests)
	for _, m := range all {
		if !slices.ContainsFunc(idx.Manifests, func(d v1.Descriptor) bool { return d.Digest == m.referrer.Digest }) {
			idx.Manifests = append(idx.Manifests, m.referrer)
		}
	}
	if len(idx.Manifests) == before {
		return nil
	}
	data, err := json.Marshal(idx)
	if err != nil {
		return err
	}
	return w.put(ctx, repository, &Manifest{Digest: digestOf(data), MediaType: string(types.OCIImageIndex), Bytes: data}, tag)
}
