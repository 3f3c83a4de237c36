package registry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

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

// reach lets a client reach the registry behind a proxy until end is called.
func (p *proxy) reach(c *Client) (host string, end func()) {
	if p.fault == delay {
		c.Transport = direct{p}
		return "127.0.0.1:5000", func() {}
	}
	srv, host := listen(p)
	return host, srv.Close
}

// direct hands requests to a handler without a network, which lets time pass
// as a bubble of synctest has it.
type direct struct{ http.Handler }

func (d direct) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	defer func() {
		if recover() != nil {
			resp, err = nil, cmp.Or(req.Context().Err(), io.ErrUnexpectedEOF)
		}
	}()
	as := req.Clone(req.Context()) // as a server is given it
	as.URL.Scheme, as.URL.Host = "", ""
	if as.Body == nil {
		as.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	d.ServeHTTP(rec, as)
	resp = rec.Result()
	resp.Request = req
	return resp, nil
}

// atEach calls try for requests of a push, one after the other, until it says
// that there are no more. Where a fault is a matter of time, none passes.
func atEach(t *testing.T, f fault, first int, try func(t *testing.T, at int) (done bool)) {
	t.Helper()
	for at, done := first, false; !done && !t.Failed(); at += stride() {
		if f != delay {
			done = try(t, at)
			continue
		}
		synctest.Test(t, func(t *testing.T) { done = try(t, at) })
	}
}

// TestOneFault makes each request of a push go wrong once, in each way, with
// blobs that are sent in one request and with ones that are sent so that their
// upload can go on. If it fails, a hiccup of a registry ends a release, or
// spoils it.
func TestOneFault(t *testing.T) {
	sources := small(t)
	for i, f := range faults {
		for _, large := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/large=%v", f, large), func(t *testing.T) {
				t.Parallel()
				atEach(t, f, i%stride(), func(t *testing.T, at int) bool {
					c, inner := quick(), newRegistry(at%4 < 2)
					if large {
						c.Resume, inner = 20_000, &resumable{inner: inner}
					}
					px := &proxy{inner: inner, fault: f, at: at}
					host, end := px.reach(c)
					defer end()
					p := mustPlan(t, sources, Naming{To: host + "/team", Release: "r1", DefaultDistro: "debian13"})
					_, err := c.Push(t.Context(), p)
					done := px.set(-1, false) <= at
					if err != nil && f != refuse {
						t.Errorf("request %d: %v", at, err)
					}
					verify(t, c, inner, p, err, fmt.Sprintf("%s at request %d", f, at))
					return done
				})
			})
		}
	}
}

// clear is an error that names the act, its subject, and the registry's answer
// or silence.
var clear = regexp.MustCompile(`^(reach registry 127\S+|(look for|list|upload) .*(sha256:[0-9a-f]{64}|team/base).*): .+`)

// TestDeadRegistry lets a registry go wrong from one request on, for each
// request of a push. If it fails, an outage leaves tags that name what is not
// there, or the next push does not repair it.
func TestDeadRegistry(t *testing.T) {
	sources := small(t)
	for i, f := range faults {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			atEach(t, f, i%stride(), func(t *testing.T, at int) bool {
				c, inner := quick(), newRegistry(at%4 < 2)
				c.Attempts = 2
				px := &proxy{inner: inner, fault: f, at: at, forever: true}
				host, end := px.reach(c)
				defer end()
				p := mustPlan(t, sources, Naming{To: host + "/team", Release: "r1", DefaultDistro: "debian13"})
				_, err := c.Push(t.Context(), p)
				done := px.set(-1, false) <= at
				if (err == nil) != done {
					t.Errorf("request %d: the error is %v", at, err)
				}
				if err != nil && (errors.Is(err, context.Canceled) || !clear.MatchString(err.Error())) {
					t.Errorf("request %d: an error that does not say what was done, to what, and what came of it: %v", at, err)
				}
				verify(t, c, inner, p, err, fmt.Sprintf("%s from request %d on", f, at))
				return done
			})
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
