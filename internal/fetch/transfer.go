package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path"
	"time"
)

// maxUnknown bounds an object whose size nobody said: 1 GiB.
const maxUnknown = 1 << 30

// slack is how much more than an object's size is read, and thrown away, so
// that the error about a wrong file can name its digest.
const slack = 64 << 20

// sink takes the bytes of a download, which may start over.
type sink interface {
	io.Writer
	Reset() error
}

var (
	_ sink = (*memory)(nil)
	_ sink = (*Writer)(nil)
)

// memory is the sink of a download that is returned as bytes.
type memory struct{ data []byte }

// newMemory makes room for an object, as far as its stated size is credible
// before the first byte has come.
func newMemory(size int64) *memory {
	return &memory{data: make([]byte, 0, min(max(size, 0), 64<<20))}
}

func (m *memory) Write(p []byte) (int, error) {
	m.data = append(m.data, p...)
	return len(p), nil
}

func (m *memory) Reset() error {
	m.data = m.data[:0]
	return nil
}

// partial is a file on its way: what has come of it over all tries at one
// address, so that a broken transfer can go on where it stopped.
type partial struct {
	name string
	want string // SHA-256, or "" when only a signature will tell
	size int64  // negative when unknown
	max  int64  // bytes that a file of unknown size may have
	dst  sink
	hash hash.Hash // nil without want

	got       int64  // bytes so far
	resumable bool   // whether the server offers ranges
	validator string // what If-Range takes, or ""
	fresh     bool   // whether to ask caches on the way to look again
	from      string // the address after redirects
	header    http.Header
	transfer  Transfer // nil when nobody wants to know
}

func (p *partial) done(err error) {
	if p.transfer != nil {
		p.transfer.Done(err)
	}
}

// restart forgets what has come.
func (p *partial) restart() error {
	if p.transfer != nil && p.got > 0 {
		p.transfer.Add(-p.got)
	}
	p.got, p.resumable, p.validator = 0, false, ""
	if p.want != "" {
		p.hash = sha256.New()
	}
	return p.dst.Reset()
}

// limit is how many bytes are read at most.
func (p *partial) limit() int64 {
	if p.size >= 0 {
		return p.size + slack
	}
	return p.max
}

// errTooLong is the end of a file that has no digest and too many bytes.
var errTooLong = errors.New("too long")

// sinkError is a failure on this side, which no mirror can mend.
type sinkError struct{ error }

func (e sinkError) Unwrap() error { return e.error }

// fill reads a body to its end.
func (p *partial) fill(body io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if werr := p.take(buf[:n]); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take adds bytes: to the sink while they can be the wanted ones, to the
// digest always.
func (p *partial) take(b []byte) error {
	if p.hash != nil {
		p.hash.Write(b)
	}
	p.got += int64(len(b))
	if p.transfer != nil {
		p.transfer.Add(int64(len(b)))
	}
	if p.got > p.limit() {
		if p.want == "" {
			return fmt.Errorf("%w: more than %d bytes", errTooLong, p.max)
		}
		return p.mismatch("")
	}
	if p.size >= 0 && p.got > p.size {
		return nil
	}
	if _, err := p.dst.Write(b); err != nil {
		return sinkError{err}
	}
	return nil
}

// verify compares a file that came to its end with what was wanted.
func (p *partial) verify() error {
	if p.want == "" {
		return nil
	}
	if got := hex.EncodeToString(p.hash.Sum(nil)); got != p.want || p.size >= 0 && p.got != p.size {
		return p.mismatch(got)
	}
	return nil
}

func (p *partial) mismatch(got string) error {
	return &ChecksumError{Name: p.name, From: p.from, Want: p.want, Got: got, WantSize: p.size, GotSize: p.got}
}

// download tries an object's addresses in turn.
func (c *Client) download(ctx context.Context, o Object, dst sink) (err error) {
	if len(o.URLs) == 0 {
		return fmt.Errorf("fetch %s: it is not in the cache and no address is known for it", o.Name)
	}
	var transfer Transfer
	if c.Progress != nil {
		transfer = c.Progress.Start(o.Name, o.Size)
		defer func() { transfer.Done(err) }()
	}
	failed := &Error{Name: o.Name}
	p := &partial{name: o.Name, want: o.SHA256, size: o.Size, max: maxUnknown, dst: dst, transfer: transfer}
	for _, address := range o.URLs {
		tries, err := c.from(ctx, address, p)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var own sinkError
		if errors.As(err, &own) {
			return fmt.Errorf("fetch %s: %w", o.Name, own.error)
		}
		failed.Attempts = append(failed.Attempts, Attempt{redact(address), tries, err})
	}
	return failed
}

// from asks one address until it gave the file, or an answer that asking again
// will not change, or too many others. Wrong bytes are asked for once more: a
// mirror may have been replacing the file, a proxy may hold an old one.
func (c *Client) from(ctx context.Context, address string, p *partial) (tries int, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return 0, fmt.Errorf("address does not parse: want http://, https:// or file://")
	}
	p.fresh, p.from = false, u.Redacted()
	if err := p.restart(); err != nil {
		return 0, sinkError{err}
	}
	for tries = 1; ; tries++ {
		err = c.attempt(ctx, u, p)
		if err == nil {
			err = p.verify()
		}
		switch {
		case err == nil, ctx.Err() != nil:
			return tries, err
		case errors.Is(err, ErrChecksum):
			if p.fresh {
				return tries, err
			}
			p.fresh = true
			if rerr := p.restart(); rerr != nil {
				return tries, sinkError{rerr}
			}
		case !worthAsking(err) || tries >= c.tries():
			return tries, err
		}
		if serr := c.backOff(ctx, u.Host, tries, err); serr != nil {
			return tries, serr
		}
	}
}

// attempt asks one address once, with a place among the host's requests.
func (c *Client) attempt(ctx context.Context, u *url.URL, p *partial) error {
	leave, err := c.enter(ctx, u.Host)
	if err != nil {
		return err
	}
	defer leave()
	body, err := c.open(ctx, u, p)
	if err != nil {
		return err
	}
	defer body.Close()
	return p.fill(body)
}

// backOff waits before the next try: twice as long each time up to half a
// minute, a random half of it, so that many clients do not come back together;
// or as long as the server asked, and then all requests to that host wait.
func (c *Client) backOff(ctx context.Context, hostname string, tries int, cause error) error {
	d := min(500*time.Millisecond<<min(tries-1, 10), 30*time.Second)
	d = d/2 + rand.N(d/2)
	var status *StatusError
	if errors.As(cause, &status) && status.RetryAfter > 0 {
		c.host(hostname).pause(min(status.RetryAfter, c.maxWait()) + d/4)
		return nil // the wait is in enter
	}
	return c.sleep(ctx, d)
}

func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	if c.Sleep != nil {
		return c.Sleep(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// nameOf is what an address is called in messages: its last element.
func nameOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || path.Base(u.Path) == "." {
		return redact(address)
	}
	return path.Base(u.Path)
}
