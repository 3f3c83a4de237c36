package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"distroless/internal/testenv"
)

// mishap is what befalls one request of a push on its way to a registry.
type mishap string

const (
	dropped   mishap = "the connection closes before anything is read"
	halfSent  mishap = "half of the body arrives, then the connection closes"
	lost      mishap = "the registry does as it is told, its answer is lost"
	truncated mishap = "the answer breaks off"
	late      mishap = "the answer takes a while"
	tooMany   mishap = "429"
	internal  mishap = "500"
	unknown   mishap = "401"
	killed    mishap = "the program is killed"
	forbidden mishap = "403 from there on"
)

// faulty stands before a plain registry.
type faulty struct {
	server *httptest.Server
	to     *httputil.ReverseProxy

	mu   sync.Mutex
	what mishap // "" is none
	at   int    // the request that it befalls
	seen int
	kill func()
}

func newFaulty(t *testing.T, s served) *faulty {
	t.Helper()
	to := &url.URL{Scheme: "http", Host: s.host}
	f := &faulty{to: &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

func (f *faulty) host() string { return strings.TrimPrefix(f.server.URL, "http://") }

// set says what goes wrong from now on, and returns the requests seen before.
func (f *faulty) set(what mishap, at int, kill func()) (seen int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen, f.seen, f.what, f.at, f.kill = f.seen, 0, what, at, kill
	return seen
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	f.mu.Lock()
	what, kill := f.what, f.kill
	if f.seen != f.at && (f.seen < f.at || what != forbidden) {
		what = ""
	}
	f.seen++
	f.mu.Unlock()
	switch what {
	case dropped:
		panic(http.ErrAbortHandler)
	case halfSent:
		req.Body = &half{req.Body, req.ContentLength / 2}
	case lost:
		f.to.ServeHTTP(httptest.NewRecorder(), req)
		panic(http.ErrAbortHandler)
	case truncated:
		f.truncate(w, req)
	case late:
		time.Sleep(300 * time.Millisecond)
	case tooMany:
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case internal:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case unknown:
		w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	case forbidden:
		w.WriteHeader(http.StatusForbidden)
		return
	case killed:
		kill()
		panic(http.ErrAbortHandler)
	}
	f.to.ServeHTTP(w, req)
}

func (f *faulty) truncate(w http.ResponseWriter, req *http.Request) {
	rec := httptest.NewRecorder()
	f.to.ServeHTTP(rec, req)
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", fmt.Sprint(rec.Body.Len()+7))
	w.WriteHeader(rec.Code)
	if _, err := w.Write(rec.Body.Bytes()); err != nil {
		panic(err)
	}
	panic(http.ErrAbortHandler)
}

// half is a body that breaks off.
type half struct {
	io.ReadCloser
	left int64
}

func (h *half) Read(p []byte) (int, error) {
	if h.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := h.ReadCloser.Read(p[:min(int64(len(p)), h.left)])
	h.left -= int64(n)
	return n, err
}

// TestFaultyRegistry has each request of a push to CNCF's registry go wrong, in
// all ways in turn. (Package registry's own tests do every way at every
// request, against a simpler registry.) If it fails, a bad line or a killed job
// leaves tags that cannot be pulled, or a repository that no push completes.
func TestFaultyRegistry(t *testing.T) {
	testenv.E2E(t)
	rep := must(t, all.images)
	s := runRegistry(t, must(t, all.distribution), false)
	f := newFaulty(t, s)
	const layout = "dist/static-debian13"
	f.set("", 0, nil)
	want := push(t, rep, nil, layout, "--to", f.host()+"/whole", "--release", "r1")
	requests := f.set("", 0, nil)
	failed := 0
	ways := []mishap{dropped, halfSent, lost, truncated, late, tooMany, internal, unknown, killed, forbidden}
	for at := range requests {
		what, repository := ways[at%len(ways)], fmt.Sprintf("at%d", at)
		r := &run{dir: rep.dir, env: []string{"HOME=" + t.TempDir()}, args: []string{"push", layout, "--to", f.host() + "/" + repository, "--release", "r1"}}
		started := make(chan struct{})
		f.set(what, at, func() {
			<-started
			if err := r.cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		})
		r.start()
		close(started)
		out := r.wait()
		f.set("", 0, nil)
		if out.code != 0 {
			failed++
			if what != forbidden && what != killed || what == forbidden && !strings.Contains(out.stderr, "403 forbidden: these credentials may not write here") {
				t.Errorf("exit code %d\n%s", out.code, out.stderr)
			}
			sound(t, s, repository, want, false)
			if out := (&run{dir: rep.dir, args: r.args, env: r.env}).start().wait(); out.code != 0 {
				t.Errorf("the second push: exit code %d\n%s", out.code, out.stderr)
			}
		}
		if sound(t, s, repository, want, true); t.Failed() {
			t.Fatalf("that was: %s, at request %d of %d", what, at, requests)
		}
	}
	t.Logf("%d requests, %d pushes failed", requests, failed)
	if failed == 0 {
		t.Error("no push failed: nothing was proven of what is left behind then")
	}
}

// sound checks that tags in a registry, which another push made elsewhere too,
// name complete images, and that all are there if that is wanted.
func sound(t *testing.T, s served, repository string, want pushed, all bool) {
	t.Helper()
	for _, tag := range want.Tags {
		_, rest, _ := strings.Cut(tag.Reference, "/whole/")
		ref, err := name.ParseReference(s.host + "/" + repository + "/" + rest)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := remote.Head(ref); err != nil && !all {
			continue // not there yet
		}
		if variant := ref.Identifier(); !all || variant == "latest" || variant == "debug" {
			checkRemote(t, ref, tag.Digest, false)
			continue
		}
		if d, err := remote.Head(ref); err != nil || d.Digest.String() != tag.Digest {
			t.Errorf("%s: %v, want %s, %v", ref, d, tag.Digest, err)
		}
	}
}
