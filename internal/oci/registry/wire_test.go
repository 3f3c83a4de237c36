package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// TestRetryAfter holds a registry to its word. If it fails, registries lock
// out people who push.
func TestRetryAfter(t *testing.T) {
	var mu sync.Mutex
	var since []time.Duration
	began := time.Now()
	inner := newRegistry(true)
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if since = append(since, time.Since(began)); len(since) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		inner.ServeHTTP(w, req)
	}))
	if _, err := quick().Push(t.Context(), mustPlan(t, two(t)[:1], Naming{To: host})); err != nil {
		t.Fatal(err)
	}
	if wait := since[1] - since[0]; wait < time.Second {
		t.Errorf("came back after %s, asked for was a second", wait)
	}
	long := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "86400")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	_, err := quick().Push(t.Context(), mustPlan(t, two(t)[:1], Naming{To: long}))
	if err == nil || !strings.Contains(err.Error(), "asks to wait for 24h0m0s") {
		t.Errorf("the error is %v", err)
	}
}

// resumable is an upload endpoint that keeps what has arrived when a
// connection breaks, as the distribution specification describes.
type resumable struct {
	inner  http.Handler
	mu     sync.Mutex
	got    map[string][]byte // by the upload's path
	asked  int               // for how much has arrived
	breaks []int             // bytes after which each PATCH breaks off
	sent   int
}

func (r *resumable) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !strings.Contains(req.URL.Path, "/uploads/") || req.Method == http.MethodPost {
		r.inner.ServeHTTP(w, req)
		return
	}
	if r.got == nil {
		r.got = map[string][]byte{}
	}
	at := req.URL.Path
	switch req.Method {
	case http.MethodGet:
		r.asked++
		w.Header().Set("Location", at)
		w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, len(r.got[at])-1)))
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPatch:
		from, _, _ := strings.Cut(req.Header.Get("Content-Range"), "-")
		if from != "" && from != fmt.Sprint(len(r.got[at])) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		var body io.Reader = req.Body
		stop := len(r.breaks) > 0
		if stop {
			body = io.LimitReader(body, int64(r.breaks[0]))
			r.breaks = r.breaks[1:]
		}
		data, err := io.ReadAll(body)
		r.sent += len(data)
		if r.got[at] = append(r.got[at], data...); stop || err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Location", at)
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		all, err := io.ReadAll(req.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		all = append(r.got[at], all...)
		delete(r.got, at)
		req = req.Clone(req.Context())
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(all)), int64(len(all))
		r.inner.ServeHTTP(w, req)
	}
}

// TestResume breaks the upload of a large layer several times. If it fails, a
// large image never arrives over a bad line.
func TestResume(t *testing.T) {
	r := &resumable{inner: newRegistry(true), breaks: []int{10_000, 0, 20_000, 5_000}}
	host := serve(t, r)
	s := store{}
	sources := []Source{{Layout: s.makeLayout(t, t.TempDir()+"/app", nil, s.layer(t, "large", 300_000)), Image: "app"}}
	p := mustPlan(t, sources, Naming{To: host})
	c := quick()
	c.Resume, c.Jobs = 200_000, 1
	if _, err := c.Push(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	check(t, host, p)
	size := 0
	for _, b := range p.blobs {
		if b.Size > 200_000 {
			size += int(b.Size)
		}
	}
	if r.sent != size || r.asked != 4 {
		t.Errorf("%d bytes arrived for a blob of %d, with %d questions", r.sent, size, r.asked)
	}
}

// TestExpiry lets every token expire after a few uses, in the middle of a
// push. If it fails, pushes that take longer than a token lives fail.
func TestExpiry(t *testing.T) {
	var mu sync.Mutex
	left, issued := map[string]int{}, 0
	var scopes []string
	inner := newRegistry(true)
	host := ""
	host = serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/token" {
			user, password, _ := req.BasicAuth()
			if user != "me" || password != "secret" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			issued++
			token := fmt.Sprint("t", issued)
			left[token] = 3
			scopes = append(scopes, req.URL.Query()["scope"]...)
			fmt.Fprintf(w, `{"token":%q,"expires_in":1}`, token)
			return
		}
		mu.Lock()
		token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
		left[token]--
		ok := left[token] >= 0
		mu.Unlock()
		if !ok {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="here",error="invalid_token"`, host))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, req)
	}))
	p := mustPlan(t, two(t), Naming{To: host + "/team"})
	c := quick()
	c.Jobs = 1
	c.Keychain = Keychain(func(name string) (string, bool) {
		v, ok := map[string]string{"DISTROLESS_REGISTRY_USERNAME": "me", "DISTROLESS_REGISTRY_PASSWORD": "secret"}[name]
		return v, ok
	})
	if _, err := c.Push(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if issued < 10 {
		t.Errorf("%d tokens only", issued)
	}
	if !slices.Contains(scopes, "repository:team/base-debian13:pull") {
		t.Errorf("no token allows mounting from the other repository: %v", scopes)
	}
	c.Keychain = nil
	_, err := c.Push(t.Context(), p)
	if err == nil || !strings.Contains(err.Error(), "docker login") {
		t.Errorf("without credentials the error is %v", err)
	}
}

// TestPlainHTTP asks for a push over plain http to another machine. If it
// fails, passwords travel in the open.
func TestPlainHTTP(t *testing.T) {
	var seen atomic.Bool
	c := quick()
	c.Attempts = 1
	c.Transport = transportFunc(func(req *http.Request) (*http.Response, error) {
		if req.URL.Scheme == "https" {
			return nil, errors.New("no tls here")
		}
		seen.Store(true)
		rec := httptest.NewRecorder()
		newRegistry(true).ServeHTTP(rec, req)
		return rec.Result(), nil
	})
	p := mustPlan(t, two(t)[:1], Naming{To: "10.1.2.3:5000/team"})
	if _, err := c.Examine(t.Context(), p); err == nil || !strings.Contains(err.Error(), "--insecure") || seen.Load() {
		t.Errorf("the error is %v", err)
	}
	c.Insecure = true
	if _, err := c.Examine(t.Context(), p); err != nil || !seen.Load() {
		t.Errorf("with --insecure: %v", err)
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestElsewhere has a registry send an upload to an address of its choice. If
// it fails, a registry can use its users to write into their own networks.
func TestElsewhere(t *testing.T) {
	c := quick()
	c.Insecure = true
	reg, _, err := (&Naming{To: "registry.example.org/x"}).check()
	if err != nil {
		t.Fatal(err)
	}
	u := &upload{session: c.session(reg, transport.PushScope)}
	at := &url.URL{Scheme: "https", Host: "registry.example.org", Path: "/v2/x/blobs/uploads/"}
	for said, ok := range map[string]bool{
		"/v2/x/blobs/uploads/1?state=2": true, "https://storage.example.org/1": true,
		"https://169.254.169.254/1": false, "https://10.0.0.1/": false, "http://127.0.0.1/": false, "": false,
	} {
		_, err := u.next(&answer{header: http.Header{"Location": {said}}, url: at}, "")
		if (err == nil) != ok {
			t.Errorf("location %q: %v", said, err)
		}
	}
}
