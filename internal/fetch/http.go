package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

var (
	errStalled   = errors.New("the server stopped sending")
	errScheme    = errors.New("unknown kind of address: want http://, https:// or file://")
	errRedirects = errors.New("more than 10 redirects")
	errDowngrade = errors.New("redirected from https to http")
)

// open asks for a file, or for the rest of one that has partly come, and
// returns the bytes still to come.
func (c *Client) open(ctx context.Context, u *url.URL, p *partial) (io.ReadCloser, error) {
	switch u.Scheme {
	case "http", "https":
		return c.openHTTP(ctx, u, p)
	case "file":
		if err := p.restart(); err != nil {
			return nil, sinkError{err}
		}
		return openFile(u)
	}
	return nil, errScheme
}

func openFile(u *url.URL) (io.ReadCloser, error) {
	if u.Host != "" && u.Host != "localhost" {
		return nil, fmt.Errorf("file address names the host %s: want file:///path", u.Host)
	}
	f, err := os.Open(u.Path)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, fmt.Errorf("%s is not a file: %w", u.Path, fs.ErrNotExist)
	}
	return f, nil
}

func (c *Client) openHTTP(ctx context.Context, u *url.URL, p *partial) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.stall(), func() { cancel(errStalled) })
	resp, err := c.client().Do(c.request(ctx, u, p))
	if err != nil {
		timer.Stop()
		err = plain(context.Cause(ctx), err)
		cancel(nil)
		return nil, err
	}
	body := &watched{cause: func() error { return context.Cause(ctx) }, cancel: cancel, timer: timer, stall: c.stall(), body: resp.Body}
	if err := p.answer(resp); err != nil {
		_ = body.Close()
		return nil, err
	}
	return body, nil
}

// request builds the request; with a Range when there is something to go on
// from.
func (c *Client) request(ctx context.Context, u *url.URL, p *partial) *http.Request {
	req := (&http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: make(http.Header), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	agent := c.UserAgent
	if agent == "" {
		agent = "distroless"
	}
	req.Header.Set("User-Agent", agent)
	// The bytes as they lie on the server: some label .gz files as an encoding.
	req.Header.Set("Accept-Encoding", "identity")
	if p.fresh {
		req.Header.Set("Cache-Control", "no-cache")
	}
	if p.got > 0 && p.resumable {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", p.got))
		if p.validator != "" {
			req.Header.Set("If-Range", p.validator)
		}
	}
	c.authorize(req)
	return req
}

// answer looks at the head of an answer and sets p to where its body begins.
func (p *partial) answer(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusOK:
		if err := p.restart(); err != nil {
			return sinkError{err}
		}
		p.resumable = resp.Header.Get("Accept-Ranges") == "bytes"
		// A weak ETag is no proof that the bytes are the same.
		if p.validator = resp.Header.Get("ETag"); p.validator == "" || strings.HasPrefix(p.validator, "W/") {
			p.validator = resp.Header.Get("Last-Modified")
		}
	case resp.StatusCode == http.StatusPartialContent && p.got > 0:
		if want := fmt.Sprintf("bytes %d-", p.got); !strings.HasPrefix(resp.Header.Get("Content-Range"), want) {
			p.resumable = false
			return fmt.Errorf("%w: range %q, want %s", errBadRange, resp.Header.Get("Content-Range"), want)
		}
	default:
		if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
			p.resumable = false // ask for the whole
		}
		return &StatusError{Code: resp.StatusCode, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	}
	p.header = resp.Header
	if resp.Request != nil {
		p.from = resp.Request.URL.Redacted()
	}
	return nil
}

var errBadRange = errors.New("answer to a range request starts elsewhere")

// retryAfter reads the header of that name: seconds, or a date. See RFC 9110,
// section 10.2.3. Anything else is no wait.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// worthAsking reports whether another try at the same address may end
// otherwise.
func worthAsking(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		switch status.Code {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
			http.StatusRequestedRangeNotSatisfiable:
			return true
		}
		return status.Code >= 500
	}
	for _, final := range []error{errScheme, errRedirects, errDowngrade, errTooLong, fs.ErrNotExist, fs.ErrPermission} {
		if errors.Is(err, final) {
			return false
		}
	}
	var own sinkError
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &own) || errors.As(err, &certificate) {
		return false
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return !dns.IsNotFound
	}
	return true
}

// watched is a body that fails when nothing comes for too long.
type watched struct {
	cause  func() error // why this one request was ended, nil while it was not
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
	body   io.ReadCloser
}

func (w *watched) Read(b []byte) (int, error) {
	w.timer.Reset(w.stall)
	n, err := w.body.Read(b)
	if err != nil && err != io.EOF {
		err = plain(w.cause(), err)
	}
	return n, err
}

func (w *watched) Close() error {
	w.timer.Stop()
	err := w.body.Close()
	w.cancel(nil)
	return err
}

// plain returns why a request was ended, else the error that it ended with,
// without what the reader of a message knows already: net/http repeats the
// method and the address.
func plain(cause, err error) error {
	if cause != nil {
		return cause
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// client returns the HTTP client, made at the first call.
func (c *Client) client() *http.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.http != nil {
		return c.http
	}
	made := http.Client{}
	if c.HTTP != nil {
		made = *c.HTTP
	}
	if made.Transport == nil {
		made.Transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			ForceAttemptHTTP2:     true,
			MaxIdleConnsPerHost:   c.perHost(),
			IdleConnTimeout:       90 * time.Second,
			TLSHandshakeTimeout:   30 * time.Second,
			ExpectContinueTimeout: time.Second,
			DisableCompression:    true,
		}
	}
	if made.CheckRedirect == nil {
		made.CheckRedirect = c.checkRedirect
	}
	c.http = &made
	return c.http
}

// checkRedirect bounds redirects, refuses the step from https to http, on which
// the credentials for a host would travel in the open, and gives an address on
// the way the credentials that are known for it.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > 10 {
		return errRedirects
	}
	if req.URL.Scheme == "http" && via[len(via)-1].URL.Scheme == "https" {
		return errDowngrade
	}
	c.authorize(req)
	return nil
}

// authorize adds the credentials for an address that does not hold its own.
func (c *Client) authorize(req *http.Request) {
	if req.URL.User != nil || c.Credentials == nil {
		return
	}
	if user, password, ok := c.Credentials(req.URL); ok {
		req.SetBasicAuth(user, password)
	}
}
