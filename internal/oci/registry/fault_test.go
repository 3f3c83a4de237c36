package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"distroless/internal/testenv"
)

// fault is what a faulty registry does to one request.
type fault string

const (
	drop       fault = "drop"          // the connection closes before anything is read
	lose       fault = "lose answer"   // the request is carried out, the answer does not come
	truncate   fault = "truncate"      // the answer breaks off after its header
	middle     fault = "middle"        // the connection closes in the middle of the body that is sent
	halfBody   fault = "partial"       // half of the body arrives at the registry, then the connection closes
	delay      fault = "delay"         // no answer for longer than the client waits
	busy       fault = "429"           // with Retry-After
	broken     fault = "500"           //
	away       fault = "503"           //
	refuse     fault = "401"           //
	halfAnswer fault = "garbled error" // a 502 of some proxy's own, as HTML
)

var faults = []fault{drop, lose, truncate, middle, halfBody, delay, busy, broken, away, refuse, halfAnswer}

// proxy stands between client and registry and does something wrong to the
// at-th request; to all from there on if forever.
type proxy struct {
	inner   http.Handler
	fault   fault
	at      int
	forever bool

	mu   sync.Mutex
	seen int
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	p.mu.Lock()
	n := p.seen
	p.seen++
	wrong := n == p.at || p.forever && n > p.at
	p.mu.Unlock()
	if wrong {
		p.wrong(w, req)
		return
	}
	p.inner.ServeHTTP(w, req)
}

func (p *proxy) wrong(w http.ResponseWriter, req *http.Request) {
	switch p.fault {
	case drop:
		panic(http.ErrAbortHandler)
	case middle:
		_, _ = io.CopyN(io.Discard, req.Body, req.ContentLength/2) // the client sees the close, whatever was read
		panic(http.ErrAbortHandler)
	case halfBody:
		p.half(req)
		panic(http.ErrAbortHandler)
	case lose:
		p.inner.ServeHTTP(httptest.NewRecorder(), req)
		panic(http.ErrAbortHandler)
	case truncate:
		rec := httptest.NewRecorder()
		p.inner.ServeHTTP(rec, req)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.Header().Set("Content-Length", fmt.Sprint(rec.Body.Len()+7))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
		panic(http.ErrAbortHandler)
	case delay:
		_, _ = io.Copy(io.Discard, req.Body) // the server looks for a client that has gone behind the body only
		<-req.Context().Done()
		panic(http.ErrAbortHandler)
	case busy:
		w.Header().Set("Retry-After", "0")
		http.Error(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}`, http.StatusTooManyRequests)
	case broken:
		http.Error(w, "", http.StatusInternalServerError)
	case away:
		http.Error(w, "", http.StatusServiceUnavailable)
	case refuse:
		w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
	case halfAnswer:
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html>")
	}
}

// half hands the registry a request whose body breaks off.
func (p *proxy) half(req *http.Request) {
	data, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	req = req.Clone(req.Context())
	req.Body = io.NopCloser(io.MultiReader(bytes.NewReader(data[:len(data)/2]), broke{}))
	p.inner.ServeHTTP(httptest.NewRecorder(), req)
}

type broke struct{}

func (broke) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// stride is from one request that goes wrong to the next: every request's turn
// comes in the project's own check, each thirteenth's, differently for each
// fault, in a quick run.
func stride() int {
	if testenv.Required() {
		return 1
	}
	return 13
}

// set changes what the proxy does, between pushes.
func (p *proxy) set(at int, forever bool) (seen int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.forever = at, forever
	return p.seen
}

// TestOneFault makes each request of a push go wrong once, in each way. If it
// fails, a hiccup of a registry ends a release, or spoils it.
func TestOneFault(t *testing.T) {
	sources := small(t)
	for i, f := range faults {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			for at := i % stride(); ; at += stride() {
				inner := newRegistry(at%4 < 2)
				px := &proxy{inner: inner, fault: f, at: at}
				srv, host := listen(px)
				p := mustPlan(t, sources, Naming{To: host + "/team", Release: "r1", DefaultDistro: "debian13"})
				c := quick()
				if f == delay {
					c.Patience = 40 * time.Millisecond
				}
				_, err := c.Push(t.Context(), p)
				done := px.set(-1, false) <= at
				if err != nil && f != refuse {
					t.Errorf("request %d: %v", at, err)
				}
				verify(t, c, inner, p, err, fmt.Sprintf("%s at request %d", f, at))
				srv.Close()
				if done || t.Failed() {
					break
				}
			}
		})
	}
}

// TestDeadRegistry lets a registry go wrong from one request on, for each
// request of a push. If it fails, an outage leaves tags that name what is not
// there, or the next push does not repair it.
func TestDeadRegistry(t *testing.T) {
	sources := small(t)
	for i, f := range []fault{drop, lose, truncate, halfBody, broken, refuse} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			for at := i % stride(); ; at += stride() {
				inner := newRegistry(at%4 < 2)
				px := &proxy{inner: inner, fault: f, at: at, forever: true}
				srv, host := listen(px)
				p := mustPlan(t, sources, Naming{To: host + "/team", Release: "r1", DefaultDistro: "debian13"})
				c := quick()
				c.Attempts = 2
				_, err := c.Push(t.Context(), p)
				done := px.set(-1, false) <= at
				if (err == nil) != done {
					t.Errorf("request %d: the error is %v", at, err)
				}
				if err != nil && (errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), ": ")) {
					t.Errorf("request %d: an error that says nothing: %v", at, err)
				}
				verify(t, c, inner, p, err, fmt.Sprintf("%s from request %d on", f, at))
				srv.Close()
				if done || t.Failed() {
					break
				}
			}
		})
	}
}

// small is a layout with two attachments, one of them on the other.
func small(t testing.TB) []Source {
	t.Helper()
	s := store{}
	l := s.makeVariants(t, filepath.Join(t.TempDir(), "base-debian13"), []string{"latest"}, nil)
	d, err := l.Tag("latest")
	if err != nil {
		t.Fatal(err)
	}
	subject := d.Digest.String()
	note := attachment(t, subject, "note")
	note.Tag = strings.Replace(subject, ":", "-", 1) + ".sig"
	on := digestOf(note.Manifest)
	return []Source{{Layout: l, Image: "base", Distro: "debian13", Attachments: map[string][]Attachment{
		subject: {note}, on: {attachment(t, on, "signature of it")},
	}}}
}

// verify checks that tags name complete images only, and that another push
// puts right what the first did not. It looks at the registry past the proxy.
func verify(t *testing.T, c *Client, inner http.Handler, p *Plan, err error, what string) {
	t.Helper()
	look := looking{inner}
	if err != nil {
		look.tags(t, p)
		if _, err := c.Push(t.Context(), p); err != nil {
			t.Errorf("%s: the second push: %v", what, err)
		}
	}
	got := look.tags(t, p)
	for _, r := range p.Repositories {
		for _, tag := range r.Tags {
			if got[r.Name+":"+tag.Name] != tag.Digest {
				t.Errorf("%s:%s is %q, want %s", r.Name, tag.Name, got[r.Name+":"+tag.Name], tag.Digest)
			}
		}
		for _, m := range r.Manifests {
			if m.Subject != "" && !look.lists(r.Name, m.Subject, m.Digest) {
				t.Errorf("%s in %s: not listed for its subject", m.Digest, r.Name)
			}
		}
	}
	if t.Failed() {
		t.Errorf("that was %s", what)
	}
}

// looking asks a registry without a network.
type looking struct{ http.Handler }

func (l looking) get(path string) (status int, body []byte) {
	rec := httptest.NewRecorder()
	l.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v2/"+path, nil))
	return rec.Code, rec.Body.Bytes()
}

// tags says what the tags of a plan name, and fails where that is incomplete.
func (l looking) tags(t *testing.T, p *Plan) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, r := range p.Repositories {
		for _, tag := range r.Tags {
			status, body := l.get(r.Name + "/manifests/" + tag.Name)
			if status != http.StatusOK {
				continue
			}
			out[r.Name+":"+tag.Name] = digestOf(body)
			if missing := l.missing(r.Name, body); missing != "" {
				t.Errorf("%s:%s is there, %s is not", r.Name, tag.Name, missing)
			}
			for _, m := range r.Manifests {
				// Attachments are there before the tags of images.
				if m.Subject == digestOf(body) && !tag.attachment && !l.lists(r.Name, m.Subject, m.Digest) {
					t.Errorf("%s:%s is there, its attachment %s is not", r.Name, tag.Name, m.Digest)
				}
			}
		}
	}
	return out
}

// missing is what of a manifest is not there.
func (l looking) missing(repository string, manifest []byte) string {
	var m struct {
		Config            *v1.Descriptor
		Layers, Manifests []v1.Descriptor
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return err.Error()
	}
	if m.Config != nil {
		m.Layers = append(m.Layers, *m.Config)
	}
	for _, b := range m.Layers {
		if status, body := l.get(repository + "/blobs/" + b.Digest.String()); status != http.StatusOK || digestOf(body) != b.Digest.String() {
			return b.Digest.String()
		}
	}
	for _, c := range m.Manifests {
		status, body := l.get(repository + "/manifests/" + c.Digest.String())
		if status != http.StatusOK {
			return c.Digest.String()
		}
		if missing := l.missing(repository, body); missing != "" {
			return missing
		}
	}
	return ""
}

func (l looking) lists(repository, subject, digest string) bool {
	status, body := l.get(repository + "/referrers/" + subject)
	if status != http.StatusOK {
		_, body = l.get(repository + "/manifests/" + strings.Replace(subject, ":", "-", 1))
	}
	return bytes.Contains(body, []byte(digest))
}

func listen(h http.Handler) (*httptest.Server, string) {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = silent()
	srv.Start()
	return srv, strings.TrimPrefix(srv.URL, "http://")
}

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
	got    []byte
	asked  int   // for how much has arrived
	breaks []int // bytes after which each PATCH breaks off
	sent   int
}

func (r *resumable) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !strings.Contains(req.URL.Path, "/uploads/") || req.Method == http.MethodPost {
		r.inner.ServeHTTP(w, req)
		return
	}
	switch req.Method {
	case http.MethodGet:
		r.asked++
		w.Header().Set("Location", req.URL.Path)
		w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, len(r.got)-1)))
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPatch:
		from, _, _ := strings.Cut(req.Header.Get("Content-Range"), "-")
		if from != "" && from != fmt.Sprint(len(r.got)) {
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
		if r.got = append(r.got, data...); stop || err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Location", req.URL.Path)
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		all, err := io.ReadAll(req.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		all, r.got = append(r.got, all...), nil
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
	seen := false
	c := quick()
	c.Attempts = 1
	c.Transport = transportFunc(func(req *http.Request) (*http.Response, error) {
		if req.URL.Scheme == "https" {
			return nil, errors.New("no tls here")
		}
		seen = true
		rec := httptest.NewRecorder()
		newRegistry(true).ServeHTTP(rec, req)
		return rec.Result(), nil
	})
	p := mustPlan(t, two(t)[:1], Naming{To: "10.1.2.3:5000/team"})
	if _, err := c.Examine(t.Context(), p); err == nil || !strings.Contains(err.Error(), "--insecure") || seen {
		t.Errorf("the error is %v", err)
	}
	c.Insecure = true
	if _, err := c.Examine(t.Context(), p); err != nil || !seen {
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
	u := &upload{session: c.session(reg)}
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
