package fetch

import (
	"context"
	"sync"
	"time"
)

// host is what all requests to one host share.
type host struct {
	places chan struct{}

	mu    sync.Mutex
	until time.Time // when the host wants to be asked again
}

// pause makes requests wait that have not begun.
func (h *host) pause(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if until := time.Now().Add(d); until.After(h.until) {
		h.until = until
	}
}

func (h *host) wait() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Until(h.until)
}

func (c *Client) host(name string) *host {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.hosts[name]
	if h == nil {
		if c.hosts == nil {
			c.hosts = make(map[string]*host)
		}
		h = &host{places: make(chan struct{}, c.perHost())}
		c.hosts[name] = h
	}
	return h
}

// enter takes one of a host's places, waiting for one and for as long as the
// host asked to be left alone.
func (c *Client) enter(ctx context.Context, name string) (leave func(), err error) {
	h := c.host(name)
	select {
	case h.places <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	leave = func() { <-h.places }
	if d := h.wait(); d > 0 {
		if err := c.sleep(ctx, d); err != nil {
			leave()
			return nil, err
		}
	}
	return leave, nil
}
