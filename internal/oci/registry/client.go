package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// Client pushes to registries and reads from them. Its zero value works, without
// credentials.
type Client struct {
	Keychain authn.Keychain // nil is anonymous; see [Keychain]
	Jobs     int            // requests at once; 0 is 8
	Insecure bool           // plain http on any host, certificates that do not verify
	Attempts int            // tries of each step; 0 is 8
	Pause    time.Duration  // before the second try, doubled before each further; 0 is 250 ms
	Patience time.Duration  // without a byte passing, after which a try counts as failed; 0 is a minute
	Resume   int64          // size in bytes from which uploads are resumed in their middle; 0 is 32 MiB
	Progress Progress       // may be nil

	// Transport carries the requests; nil is one made for large bodies.
	Transport http.RoundTripper
}

// Progress is told of uploads.
type Progress interface {
	// Start begins an upload of size bytes.
	Start(name string, size int64) Transfer
}

// Transfer is one upload. Add counts bytes as they leave, negative ones where
// a part has to be sent again.
type Transfer interface {
	Add(n int64)
	Done(err error)
}

const (
	maxAnswer = 16 << 20        // bytes of an answer
	maxWait   = 5 * time.Minute // a registry that wants to be left alone for longer is an error
)

// session is a client at work on one registry.
type session struct {
	*Client
	access   *access
	http     *http.Client
	also     map[string][]string // by repository: the ones it mounts from; set between steps only
	requests atomic.Int64
}

// close ends the connections that nothing else will use.
func (s *session) close() {
	if s.Transport == nil {
		s.http.CloseIdleConnections()
	}
}

// session begins work on a registry. actions are what its tokens are for, as the
// distribution specification's token scopes name them: "pull", "push,pull".
func (c *Client) session(reg name.Registry, actions string) *session {
	inner := c.Transport
	if inner == nil {
		inner = c.newTransport()
	}
	keychain := c.Keychain
	if keychain == nil {
		keychain = authn.NewMultiKeychain()
	}
	s := &session{Client: c, also: map[string][]string{}}
	s.access = &access{registry: reg, actions: actions, keychain: keychain, patience: c.patience(), transport: &agent{&guard{inner, c.Insecure}, s}}
	s.http = &http.Client{Transport: s.access.transport}
	return s
}

// newTransport keeps to HTTP/1.1: uploads side by side go faster on
// connections of their own, and one that breaks takes no other with it.
func (c *Client) newTransport() http.RoundTripper {
	dialer := &net.Dialer{Timeout: 20 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext,
		MaxIdleConnsPerHost: c.jobs() + 1, IdleConnTimeout: 60 * time.Second,
		TLSHandshakeTimeout: 20 * time.Second, WriteBufferSize: 64 << 10,
		DisableCompression: true,
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: c.Insecure},
	}
}

func (a *agent) CloseIdleConnections() { closeIdle(a.inner) }
func (g *guard) CloseIdleConnections() { closeIdle(g.inner) }

func closeIdle(t http.RoundTripper) {
	if c, ok := t.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// agent names the program to registries and counts requests.
type agent struct {
	inner http.RoundTripper
	s     *session
}

func (a *agent) RoundTrip(req *http.Request) (*http.Response, error) {
	a.s.requests.Add(1)
	if req.Header.Get("User-Agent") == "" {
		req = req.Clone(req.Context())
		req.Header.Set("User-Agent", "distroless")
	}
	return a.inner.RoundTrip(req)
}

func (c *Client) jobs() int {
	if c.Jobs > 0 {
		return c.Jobs
	}
	return 8
}

func (c *Client) attempts() int {
	if c.Attempts > 0 {
		return c.Attempts
	}
	return 8
}

func (c *Client) patience() time.Duration {
	if c.Patience > 0 {
		return c.Patience
	}
	return time.Minute
}

func (c *Client) resume() int64 {
	if c.Resume > 0 {
		return c.Resume
	}
	return 32 << 20
}

// pause is how long to wait before the n-th further try, with some chance in
// it, so that many clients do not come back at once.
func (c *Client) pause(n int) time.Duration {
	d := c.Pause
	if d <= 0 {
		d = 250 * time.Millisecond
	}
	d = min(d<<n, 20*time.Second)
	return d/2 + rand.N(d/2+1)
}

// again calls f until it succeeds, fails for good, or has been tried often
// enough.
func (c *Client) again(ctx context.Context, f func(ctx context.Context) error) error {
	for n := 0; ; n++ {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		retry, after := temporary(err)
		switch {
		case !retry:
			return err
		case n+1 >= c.attempts():
			return fmt.Errorf("%w: %d tries: run it again later, nothing that is done is done twice", err, n+1)
		case after > maxWait:
			return fmt.Errorf("%w: the registry asks to wait for %s: run it again then", err, after.Round(time.Second))
		}
		if err := sleep(ctx, max(after, c.pause(n))); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// call is one request.
type call struct {
	method     string
	repository string
	path       string // below /v2/<repository>/, with a query
	location   string // instead of path: where the registry said to go on
	header     map[string]string
	body       func() (io.ReadCloser, error)
	size       int64 // of the body, in bytes
	good       []int // statuses that are an answer
}

// answer is what came back, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	url    *url.URL
}

// do makes a request, more than once if need be.
func (s *session) do(ctx context.Context, c call) (*answer, error) {
	var a *answer
	err := s.again(ctx, func(ctx context.Context) (err error) {
		a, err = s.once(ctx, c)
		return err
	})
	return a, err
}

// once makes a request. An authorization that is refused is renewed, and the
// request made again with it, twice at most: a body can have been sent by
// then, so it is opened anew.
func (s *session) once(ctx context.Context, c call) (*answer, error) {
	st, err := s.open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	body, err := io.ReadAll(io.LimitReader(st, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("%s %s: answer cut short: %w", c.method, st.url.Path, err)
	}
	if len(body) > maxAnswer {
		return nil, &permanentError{fmt.Errorf("%s %s: answer of more than %d bytes", c.method, st.url.Path, maxAnswer)}
	}
	return &answer{st.status, st.header, body, st.url}, nil
}

// open makes a request as once does, and leaves the answer's body to be read.
func (s *session) open(ctx context.Context, c call) (*stream, error) {
	for try := 0; ; try++ {
		header, serial, err := s.access.authorization(ctx, c.repository, s.also[c.repository])
		if err != nil {
			return nil, err
		}
		st, err := s.send(ctx, c, header)
		if err != nil {
			return nil, err
		}
		if slices.Contains(c.good, st.status) {
			return st, nil
		}
		body, err := io.ReadAll(io.LimitReader(st, maxAnswer))
		st.Close()
		if err != nil {
			return nil, fmt.Errorf("%s %s: answer cut short: %w", c.method, st.url.Path, err)
		}
		refusal := newError(st.response, body)
		refusal.reading = s.access.reading()
		if refusal.Status != http.StatusUnauthorized || try > 1 {
			return nil, refusal
		}
		if err := s.access.refused(ctx, c.repository, s.also[c.repository], serial, st.header); err != nil {
			return nil, err
		}
	}
}

// stream is what comes back, its body still to be read. A try during which
// nothing passes for too long is given up.
type stream struct {
	status   int
	header   http.Header
	url      *url.URL
	response *http.Response

	ctx    context.Context
	watch  *watch
	cancel func()
}

// watch gives up what it watches when nothing has passed for a while.
type watch struct {
	timer    *time.Timer
	patience time.Duration
}

func (w *watch) moved() { w.timer.Reset(w.patience) }
func (w *watch) rest()  { w.timer.Stop() }

// Read implements [io.Reader].
func (st *stream) Read(p []byte) (int, error) {
	st.watch.moved()
	n, err := st.response.Body.Read(p)
	st.watch.rest() // whoever reads may take their time between two pieces
	if err != nil && err != io.EOF {
		err = stalled(st.ctx, err)
	}
	return n, err
}

// Close ends the request, whether its answer was read to the end or not.
func (st *stream) Close() error {
	err := st.response.Body.Close()
	st.cancel()
	return err
}

// send makes a request with one authorization.
func (s *session) send(ctx context.Context, c call, authorization string) (*stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{time.AfterFunc(s.patience(), func() { cancel(errStalled) }), s.patience()}
	end := func() {
		w.rest()
		cancel(nil)
	}
	req, err := s.request(ctx, c, w.moved)
	if err != nil {
		end()
		return nil, err
	}
	if authorization != "" && req.URL.Host == s.access.registry.RegistryStr() {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		err = stalled(ctx, err)
		end()
		return nil, err
	}
	w.rest()
	return &stream{resp.StatusCode, resp.Header, cmp.Or(resp.Request, req).URL, resp, ctx, w, end}, nil
}

var errStalled = errors.New("the registry is silent")

func stalled(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
		return cause
	}
	return err
}

// request makes the HTTP request. moved is called as its body is read.
func (s *session) request(ctx context.Context, c call, moved func()) (*http.Request, error) {
	challenge, err := s.access.ping(ctx)
	if err != nil {
		return nil, err
	}
	address := c.location
	if address == "" {
		address = s.access.scheme(challenge) + "://" + s.access.registry.RegistryStr() + "/v2/" + c.repository + "/" + c.path
	}
	req, err := http.NewRequestWithContext(ctx, c.method, address, nil)
	if err != nil {
		return nil, &permanentError{err}
	}
	if c.body != nil {
		req.ContentLength = c.size
		req.GetBody = func() (io.ReadCloser, error) {
			b, err := c.body()
			if err != nil {
				return nil, &permanentError{err}
			}
			return &moving{b, moved}, nil
		}
		if req.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	return req, nil
}

// moving tells of each read.
type moving struct {
	io.ReadCloser
	moved func()
}

func (m *moving) Read(p []byte) (int, error) {
	m.moved()
	return m.ReadCloser.Read(p)
}
