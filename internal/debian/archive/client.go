package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"time"

	"distroless/internal/fetch"
)

// maxRelease bounds an InRelease file: Debian's largest has 250 kB.
const maxRelease = 16 << 20

// Suite says where a suite lies and whom to believe about it.
type Suite struct {
	// Name is the suite's path below dists/, such as trixie-security. One that
	// ends in a slash, "./" most often, is the folder of a flat repository.
	Name string
	// Roots are the addresses that serve it, mirrors in order, without a slash
	// at the end.
	Roots   []string
	Keyring *Keyring
	// Snapshot is set when Roots show the archive at a time in the past: see
	// [VerifyOptions].
	Snapshot bool
}

// isFlat reports whether a suite's name is a flat repository's folder.
func isFlat(name string) bool { return strings.HasSuffix(name, "/") }

// addresses returns where a file of the suite's own folder lies, a mirror each.
func (s Suite) addresses(file string) []string {
	folder := "dists/" + s.Name
	if isFlat(s.Name) {
		folder = strings.TrimPrefix(strings.TrimSuffix(s.Name, "/"), ".")
	}
	return s.below(strings.TrimPrefix(folder+"/"+file, "/"))
}

// below joins a path to each root.
func (s Suite) below(path string) []string {
	all := make([]string, len(s.Roots))
	for i, root := range s.Roots {
		all[i] = strings.TrimSuffix(root, "/") + "/" + escape(path)
	}
	return all
}

// escape writes a path as it stands in an address. A plus is escaped too, for
// the servers that take it for a space, as apt does.
func escape(path string) string {
	return strings.ReplaceAll((&url.URL{Path: "/" + path}).EscapedPath()[1:], "+", "%2B")
}

// Object returns a package file of the suite: path is an index's Filename
// field, sum its SHA256, size its Size in bytes.
func (s Suite) Object(path, sum string, size int64) (fetch.Object, error) {
	if err := validPath(path); err != nil {
		return fetch.Object{}, fmt.Errorf("find package in %s: %w", s.Name, err)
	}
	path = strings.TrimPrefix(path, "./")
	return fetch.Object{Name: path[strings.LastIndexByte(path, '/')+1:], SHA256: sum, Size: size, URLs: s.below(path)}, nil
}

// Client reads archives. Its zero value works, without a cache. It may be used
// by several goroutines and must not be copied after its first use.
type Client struct {
	Fetch *fetch.Client // nil fetches with defaults and keeps nothing
	// Now is the time that dates and keys are checked at; nil is the clock.
	Now func() time.Time

	once  sync.Once
	plain *fetch.Client // where none was given
}

func (c *Client) fetch() *fetch.Client {
	if c.Fetch != nil {
		return c.Fetch
	}
	c.once.Do(func() { c.plain = new(fetch.Client) })
	return c.plain
}

// Release fetches a suite's InRelease, or where there is none Release with
// Release.gpg, and verifies it. A mirror whose file is missing, out of date or
// not well signed is passed over for the next; the error lists them all, and is
// an [ErrSignature], [ErrExpired] and so on where one of them was.
func (c *Client) Release(ctx context.Context, s Suite) (*Release, error) {
	if s.Name == "" || !isFlat(s.Name) && validPath(s.Name) != nil || strings.Contains(s.Name, "..") {
		return nil, fmt.Errorf("read suite %q: want a name such as trixie, or \"./\" for a flat repository", s.Name)
	}
	if len(s.Roots) == 0 {
		return nil, fmt.Errorf("read suite %s: no address is known for its archive", s.Name)
	}
	o := VerifyOptions{Suite: s.Name, Keyring: s.Keyring, Now: time.Now(), Snapshot: s.Snapshot}
	if c.Now != nil {
		o.Now = c.Now()
	}
	var refused []error
	inRelease, plain, signature := s.addresses("InRelease"), s.addresses("Release"), s.addresses("Release.gpg")
	for i := range s.Roots {
		r, err := c.inRelease(ctx, inRelease[i], o)
		if errors.Is(err, fs.ErrNotExist) {
			if other, derr := c.detached(ctx, plain[i], signature[i], o); !errors.Is(derr, fs.ErrNotExist) {
				r, err = other, derr
			}
		}
		if err == nil {
			r.Suite = s
			return r, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		refused = append(refused, &mirrorError{s.Roots[i], err})
	}
	return nil, fmt.Errorf("read suite %s: %w", s.Name, mirrorErrors(refused))
}

func (c *Client) inRelease(ctx context.Context, address string, o VerifyOptions) (*Release, error) {
	got, err := c.fetch().GetUnpinned(ctx, address, maxRelease)
	if err != nil {
		return nil, err
	}
	return VerifyInRelease(got.Data, o)
}

func (c *Client) detached(ctx context.Context, address, signature string, o VerifyOptions) (*Release, error) {
	text, err := c.fetch().GetUnpinned(ctx, address, maxRelease)
	if err != nil {
		return nil, err
	}
	sig, err := c.fetch().GetUnpinned(ctx, signature, maxRelease)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("verify Release: there is neither InRelease nor Release.gpg: %w", ErrSignature)
	}
	if err != nil {
		return nil, err
	}
	return VerifyDetached(text.Data, sig.Data, o)
}

// mirrorError is what one mirror answered when it was asked for a Release.
type mirrorError struct {
	root string
	err  error
}

func (e *mirrorError) Error() string {
	var failed *fetch.Error
	if errors.As(e.err, &failed) {
		return failed.Tried() // names the whole address
	}
	if u, err := url.Parse(e.root); err == nil {
		return u.Redacted() + ": " + e.err.Error()
	}
	return e.err.Error()
}

func (e *mirrorError) Unwrap() error { return e.err }

// mirrorErrors is what all mirrors answered, on one line, with the mend.
type mirrorErrors []error

func (m mirrorErrors) Error() string {
	all := make([]string, len(m))
	for i, err := range m {
		all[i] = err.Error()
	}
	text := strings.Join(all, "; ")
	switch {
	case errors.Is(m, ErrSignature):
		text += ": check that this is the right archive's address, and that its keyring is up to date"
	case errors.Is(m, ErrExpired):
		text += ": the mirror is out of date: try another, or check this machine's clock"
	case errors.Is(m, ErrFuture):
		text += ": check this machine's clock"
	case errors.Is(m, fs.ErrNotExist):
		text += ": check the suite's name and the archive's address"
	}
	return text
}

func (m mirrorErrors) Unwrap() []error { return m }
