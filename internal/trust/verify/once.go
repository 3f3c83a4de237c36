package verify

import (
	"context"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"distroless/internal/trust/source"
)

// documents fetches each document and each list of attachments once: an index
// and its images share the lock, and several checks ask for the same list. The
// zero value works.
type documents struct {
	mu    sync.Mutex
	blobs map[v1.Hash]*once[[]byte]
	lists map[v1.Hash]*once[[]v1.Descriptor]
}

// once is something that is fetched by whoever asks first; the others wait. An
// error is not kept: it may be that of an interrupted run.
type once[T any] struct {
	mu    sync.Mutex
	known bool
	value T
}

func (o *once[T]) get(fetch func() (T, error)) (T, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known {
		return o.value, nil
	}
	v, err := fetch()
	if err == nil {
		o.value, o.known = v, true
	}
	return v, err
}

// of returns the entry of a digest, and makes it and the map where there is none.
func of[T any](mu *sync.Mutex, all *map[v1.Hash]*once[T], h v1.Hash) *once[T] {
	mu.Lock()
	defer mu.Unlock()
	if *all == nil {
		*all = map[v1.Hash]*once[T]{}
	}
	if (*all)[h] == nil {
		(*all)[h] = new(once[T])
	}
	return (*all)[h]
}

// read returns a document, verified against its digest. It is shared: nobody may
// change it.
func (d *documents) read(ctx context.Context, src source.Source, at v1.Descriptor) ([]byte, error) {
	return of(&d.mu, &d.blobs, at.Digest).get(func() ([]byte, error) { return source.Document(ctx, src, at) })
}

// referrers returns what refers to a digest.
func (d *documents) referrers(ctx context.Context, src source.Source, h v1.Hash) ([]v1.Descriptor, error) {
	return of(&d.mu, &d.lists, h).get(func() ([]v1.Descriptor, error) { return src.Referrers(ctx, h) })
}
