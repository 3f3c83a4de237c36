package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Error is an answer of a registry that means no.
type Error struct {
	Method, Path string // of the request, without its query
	Status       int    // HTTP status
	Code         string // of the distribution specification, "BLOB_UNKNOWN"; may be empty
	Message      string

	after   time.Duration // how long the registry wants to be left alone
	reading bool          // nothing was to be written
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s %s: %d %s", e.Method, e.Path, e.Status, strings.ToLower(http.StatusText(e.Status)))
	if e.Code != "" {
		text += ": " + e.Code
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	switch e.Status {
	case http.StatusUnauthorized:
		text += ": log in, as with \"docker login\" or \"podman login\", or set DISTROLESS_REGISTRY_USERNAME and DISTROLESS_REGISTRY_PASSWORD"
	case http.StatusForbidden:
		if e.reading {
			return text + ": these credentials may not read this: use others"
		}
		text += ": these credentials may not write here: use others, or push elsewhere with --to"
	case http.StatusRequestEntityTooLarge:
		text += ": the registry, or a proxy before it, limits the size of requests: raise its limit"
	}
	return text
}

// permanentError is one that trying again does not mend.
type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

// temporaryStatus tells the answers after which a request is worth repeating.
func temporaryStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// temporary reports whether to try again, and after how long at least.
func temporary(err error) (bool, time.Duration) {
	var permanent *permanentError
	var status *Error
	var library *transport.Error
	switch {
	case errors.As(err, &permanent), errors.Is(err, context.Canceled):
		return false, 0
	case errors.As(err, &status):
		return temporaryStatus(status.Status), status.after
	case errors.As(err, &library):
		return temporaryStatus(library.StatusCode), 0
	}
	return true, 0 // a connection that broke, an answer cut short
}

// newError reads an answer that was not hoped for.
func newError(resp *http.Response, body []byte) *Error {
	e := &Error{Status: resp.StatusCode, after: retryAfter(resp.Header, time.Now())}
	if resp.Request != nil {
		e.Method, e.Path = resp.Request.Method, resp.Request.URL.Host+resp.Request.URL.Path
	}
	var said struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(body, &said) == nil && len(said.Errors) > 0 {
		e.Code, e.Message = said.Errors[0].Code, printable(said.Errors[0].Message)
	} else if text := strings.TrimSpace(string(body)); text != "" && !strings.HasPrefix(text, "<") {
		e.Message = printable(text)
	}
	return e
}

// printable keeps what a registry says from filling or upsetting a terminal.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return strings.TrimSpace(s)
}

// retryAfter reads the header of that name, seconds or a date (RFC 9110,
// section 10.2.3).
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		return time.Duration(min(n, 1<<20)) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

// noting remembers what the last answers said, for libraries that keep only
// part of it in their errors.
type noting struct {
	inner   http.RoundTripper
	reading bool // see [Error]
	mu      sync.Mutex
	after   time.Duration
}

func (n *noting) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := n.inner.RoundTrip(req)
	if err == nil {
		n.mu.Lock()
		n.after = max(n.after, retryAfter(resp.Header, time.Now()))
		n.mu.Unlock()
	}
	return resp, err
}

// explain turns the library's error into ours.
func (n *noting) explain(err error) error {
	var refusal *transport.Error
	if !errors.As(err, &refusal) {
		return err
	}
	e := &Error{Status: refusal.StatusCode, reading: n.reading}
	if refusal.Request != nil {
		e.Method, e.Path = refusal.Request.Method, refusal.Request.URL.Host+refusal.Request.URL.Path
	}
	if len(refusal.Errors) > 0 {
		e.Code, e.Message = string(refusal.Errors[0].Code), printable(refusal.Errors[0].Message)
	}
	n.mu.Lock()
	e.after = n.after
	n.mu.Unlock()
	return e
}
