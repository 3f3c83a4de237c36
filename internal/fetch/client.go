package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Object is a file known by its digest.
type Object struct {
	Name   string // for messages, such as libc6_2.41-12_amd64.deb
	SHA256 string // 64 lower-case hexadecimal digits
	Size   int64  // length in bytes; negative when unknown
	// URLs are where it may be found, http, https or file, best first.
	URLs []string
}

// Response is a file that had no digest to check it by.
type Response struct {
	Data   []byte
	URL    string      // where it came from in the end, after redirects
	Header http.Header // of the answer; nil for file addresses
}

// Client fetches objects. The zero value works: without a cache, four requests
// at a time to a host, five tries. A Client may be used by several goroutines
// and must not be copied after its first use.
type Client struct {
	// Cache holds what was fetched; nil to keep nothing.
	Cache *Cache
	// HTTP sends the requests. Nil uses proxies from the environment
	// (HTTPS_PROXY and its kin) and at most ten redirects, none from https to
	// http. Its Timeout should be 0: a large file may take long, see Stall.
	HTTP *http.Client
	// PerHost is how many requests run at once to one host; 0 means 4.
	PerHost int
	// Jobs is how many objects FetchAll works on at once; 0 means 8.
	Jobs int
	// Tries is how often one address is asked while its answers are such that
	// asking again may help; 0 means 5.
	Tries int
	// Stall is how long a server may send nothing; 0 means one minute.
	Stall time.Duration
	// MaxWait bounds the wait that a server can ask for with Retry-After;
	// 0 means two minutes.
	MaxWait time.Duration
	// UserAgent is sent with each request; "" means "distroless".
	UserAgent string
	// Credentials returns the user and password for an address, where there
	// are any. It is not asked about addresses that hold their own.
	Credentials func(*url.URL) (user, password string, ok bool)
	// Progress is told of the bytes as they arrive; nil tells nobody.
	Progress Progress
	// Sleep waits for d or until the context ends; nil uses a timer. Tests
	// put a recorder here.
	Sleep func(ctx context.Context, d time.Duration) error

	mu       sync.Mutex
	http     *http.Client
	hosts    map[string]*host
	inflight map[string]chan struct{} // by digest; closed when that fetch ended
}

// Progress is told of transfers as they begin. Its methods, and those of what
// it returns, are called from several goroutines. Objects that the cache has
// are never mentioned.
type Progress interface {
	// Start begins an object of size bytes, negative when unknown.
	Start(name string, size int64) Transfer
}

// Transfer is told how one object comes along.
type Transfer interface {
	// Add counts n bytes more; n is negative when bytes that had come were of
	// no use and the transfer starts over.
	Add(n int64)
	// Done ends the transfer; err is nil when the object is there.
	Done(err error)
}

// Get returns an object's bytes: from the cache, else from the first address
// that has the right ones, and then keeps them in the cache. Two calls at once
// for the same object fetch it once where there is a cache.
//
// The error is an [*Error] when addresses were tried in vain, the context's
// when it ended.
func (c *Client) Get(ctx context.Context, o Object) ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if c.Cache == nil {
		m := newMemory(o.Size)
		if err := c.download(ctx, o, m); err != nil {
			return nil, err
		}
		return m.data, nil
	}
	var data []byte
	err := c.once(ctx, o, func() error {
		var err error
		data, err = c.Cache.ReadFile(o)
		return err
	}, func() error {
		m := newMemory(o.Size)
		if err := c.download(ctx, o, m); err != nil {
			return err
		}
		data = m.data
		if _, err := c.Cache.Put(data); err != nil {
			return fmt.Errorf("fetch %s: %w", o.Name, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Fetch brings an object into the cache. It does not read one that is there
// already: reading checks, and [Client.Get] and [Client.Open] fetch again what
// turns out to be damaged.
func (c *Client) Fetch(ctx context.Context, o Object) error {
	if err := o.check(); err != nil {
		return err
	}
	if c.Cache == nil {
		return fmt.Errorf("fetch %s: the client has no cache to put it in", o.Name)
	}
	return c.once(ctx, o, func() error {
		if !c.Cache.Has(o) {
			return fs.ErrNotExist
		}
		return nil
	}, func() error { return c.intoCache(ctx, o) })
}

// Open returns a stream of an object's bytes, fetching it into the cache first
// where it is not there. See [Reader] for when the bytes may be trusted.
func (c *Client) Open(ctx context.Context, o Object) (*Reader, error) {
	for tries := 0; ; tries++ {
		if err := c.Fetch(ctx, o); err != nil {
			return nil, err
		}
		r, err := c.Cache.Open(o)
		// Missing right after it was there: another process found it damaged
		// and removed it in between.
		if err == nil || tries == 2 || !errors.Is(err, fs.ErrNotExist) {
			return r, err
		}
	}
}

// FetchAll brings all objects into the cache, several at a time. The first
// error ends it and is returned.
func (c *Client) FetchAll(ctx context.Context, objects []Object) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.jobs())
	for _, o := range objects {
		// Once the context has ended, each of these returns at once.
		g.Go(func() error { return c.Fetch(ctx, o) })
	}
	return g.Wait()
}

// FetchEach is FetchAll that goes on after errors: errs[i] is what came of
// objects[i].
func (c *Client) FetchEach(ctx context.Context, objects []Object) (errs []error) {
	errs = make([]error, len(objects))
	var g errgroup.Group
	g.SetLimit(c.jobs())
	for i, o := range objects {
		g.Go(func() error {
			errs[i] = c.Fetch(ctx, o)
			return nil
		})
	}
	_ = g.Wait()
	return errs
}

// GetUnpinned returns a file of at most max bytes that has no digest: one that
// is to be checked by a signature. It asks again like Get, and keeps nothing.
// A missing file is an [fs.ErrNotExist].
func (c *Client) GetUnpinned(ctx context.Context, address string, max int64) (*Response, error) {
	m := newMemory(-1)
	p := &partial{name: nameOf(address), size: -1, max: max, dst: m}
	if c.Progress != nil {
		p.transfer = c.Progress.Start(p.name, -1)
	}
	tries, err := c.from(ctx, address, p)
	p.done(err)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &Error{Name: p.name, Attempts: []Attempt{{redact(address), tries, err}}}
	}
	return &Response{Data: m.data, URL: p.from, Header: p.header}, nil
}

// intoCache downloads into a file of the cache.
func (c *Client) intoCache(ctx context.Context, o Object) error {
	w, err := c.Cache.Create()
	if err != nil {
		return fmt.Errorf("fetch %s: %w", o.Name, err)
	}
	defer w.Close()
	if err := c.download(ctx, o, w); err != nil {
		return err
	}
	if _, _, err := w.Commit(); err != nil {
		return fmt.Errorf("fetch %s: %w", o.Name, err)
	}
	return nil
}

// once runs have, and when that says the object is missing, fetch; while
// another goroutine does so for the same digest, it waits and looks again.
func (c *Client) once(ctx context.Context, o Object, have, fetch func() error) error {
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := have(); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		c.mu.Lock()
		wait, busy := c.inflight[o.SHA256]
		if !busy {
			if c.inflight == nil {
				c.inflight = make(map[string]chan struct{})
			}
			c.inflight[o.SHA256] = make(chan struct{})
		}
		c.mu.Unlock()
		if !busy {
			defer c.landed(o.SHA256)
			// The one before may have ended between have and the lock.
			if err := have(); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return fetch()
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// landed ends the fetch of a digest and wakes those that wait for it.
func (c *Client) landed(sum string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.inflight[sum])
	delete(c.inflight, sum)
}

func (o Object) check() error {
	if err := validSHA256(o.SHA256); err != nil {
		return fmt.Errorf("fetch %s: %w", o.Name, err)
	}
	return nil
}

func (c *Client) perHost() int { return orInt(c.PerHost, 4) }
func (c *Client) jobs() int    { return orInt(c.Jobs, 8) }
func (c *Client) tries() int   { return orInt(c.Tries, 5) }

func (c *Client) stall() time.Duration   { return orDuration(c.Stall, time.Minute) }
func (c *Client) maxWait() time.Duration { return orDuration(c.MaxWait, 2*time.Minute) }

func orInt(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

func orDuration(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}
