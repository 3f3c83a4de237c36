package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"distroless/internal/fetch"
)

// recorder is a Sleep that does not, and remembers.
type recorder struct {
	mu    sync.Mutex
	slept []time.Duration
}

func (r *recorder) sleep(ctx context.Context, d time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slept = append(r.slept, d)
	return ctx.Err()
}

// server answers the n-th request (from 0) with handle.
func server(t *testing.T, handle func(n int, w http.ResponseWriter, r *http.Request)) (address string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handle(int(requests.Add(1)-1), w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/pool/x_1_amd64.deb", requests
}

const text = "the bytes of a package, which are many more in truth"

func serve(w http.ResponseWriter, r *http.Request, data string) {
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(data))
}

// breakOff announces all and sends n bytes.
func breakOff(w http.ResponseWriter, data string, n int) {
	w.Header().Set("Accept-Ranges", "bytes")
	w.Header().Set("ETag", `"v1"`)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write([]byte(data[:n]))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func TestGet(t *testing.T) {
	tests := []struct {
		name     string
		handle   func(n int, w http.ResponseWriter, r *http.Request)
		requests int32
		fails    string // what the error says; "" for none
	}{
		{"at once", func(_ int, w http.ResponseWriter, r *http.Request) { serve(w, r, text) }, 1, ""},
		{"server error, then right", func(n int, w http.ResponseWriter, r *http.Request) {
			if n < 3 {
				w.WriteHeader(503 - n)
				return
			}
			serve(w, r, text)
		}, 4, ""},
		{"server error for ever", func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, 5, "500 Internal Server Error (5 tries)"},
		{"missing", func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 1, "404 Not Found"},
		{"forbidden", func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, 1, "403 Forbidden"},
		{"needs a password", func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, 1, "give credentials"},
		{"closed before the answer", func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 0 {
				panic(http.ErrAbortHandler)
			}
			serve(w, r, text)
		}, 2, ""},
		{"wrong once", func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 0 {
				serve(w, r, strings.ToUpper(text))
				return
			}
			if r.Header.Get("Cache-Control") != "no-cache" {
				w.WriteHeader(400)
			}
			serve(w, r, text)
		}, 2, ""},
		{"wrong for ever", func(_ int, w http.ResponseWriter, r *http.Request) { serve(w, r, strings.ToUpper(text)) }, 2, object(strings.ToUpper(text)).SHA256},
		{"longer", func(_ int, w http.ResponseWriter, r *http.Request) { serve(w, r, text+"x") }, 2, object(text + "x").SHA256},
		{"shorter", func(_ int, w http.ResponseWriter, r *http.Request) { serve(w, r, text[1:]) }, 2, "51 bytes, want 52"},
		{"redirected", func(n int, w http.ResponseWriter, r *http.Request) {
			if n < 3 {
				http.Redirect(w, r, fmt.Sprintf("/%d", n), http.StatusFound)
				return
			}
			serve(w, r, text)
		}, 4, ""},
		{"redirected for ever", func(n int, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, fmt.Sprintf("/%d", n), http.StatusFound)
		}, 11, "more than 10 redirects"},
		{"labelled as compressed", func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte(text))
		}, 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			address, requests := server(t, tt.handle)
			c := &fetch.Client{Sleep: new(recorder).sleep}
			got, err := c.Get(t.Context(), object(text, address))
			if requests.Load() != tt.requests {
				t.Errorf("%d requests, want %d", requests.Load(), tt.requests)
			}
			if tt.fails != "" {
				if err == nil || got != nil || !strings.Contains(err.Error(), tt.fails) || !strings.Contains(err.Error(), "fetch x_1_amd64.deb: "+address) {
					t.Errorf("%q, %v\nwant an error that says %q", got, err, tt.fails)
				}
				return
			}
			if err != nil || string(got) != text {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// A wrong digest is said with both digests, mirror for mirror.
func TestWrongEverywhere(t *testing.T) {
	wrong, _ := server(t, func(_ int, w http.ResponseWriter, r *http.Request) { serve(w, r, "something else") })
	missing, _ := server(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
	c := &fetch.Client{Sleep: new(recorder).sleep}
	o := object(text, missing, wrong)
	_, err := c.Get(t.Context(), o)
	want := fmt.Sprintf("fetch x_1_amd64.deb: %s: http status 404 Not Found; %s: sha256 %s, want %s (14 bytes, want 52) (2 tries)",
		missing, wrong, object("something else").SHA256, o.SHA256)
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if !errors.Is(err, fetch.ErrChecksum) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v is not both ErrChecksum and ErrNotExist", err)
	}
}

func TestNextMirror(t *testing.T) {
	right, _ := server(t, func(_ int, w http.ResponseWriter, r *http.Request) { serve(w, r, text) })
	for name, handle := range map[string]func(int, http.ResponseWriter, *http.Request){
		"missing":   func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"wrong":     func(_ int, w http.ResponseWriter, r *http.Request) { serve(w, r, text+text) },
		"broken":    func(_ int, w http.ResponseWriter, _ *http.Request) { breakOff(w, text, 10) },
		"throttled": func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) },
	} {
		bad, _ := server(t, handle)
		c := &fetch.Client{Sleep: new(recorder).sleep, Cache: openCache(t, t.TempDir())}
		if got, err := c.Get(t.Context(), object(text, bad, right)); err != nil || string(got) != text {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err := c.Fetch(t.Context(), object("", bad, right)); err == nil {
			t.Errorf("%s: an empty file was found", name)
		}
	}
}

// A broken transfer goes on where it stopped, where the server can do that.
func TestResume(t *testing.T) {
	var ranges []string
	address, _ := server(t, func(n int, w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range")+r.Header.Get("If-Range"))
		if n < 2 && r.Header.Get("Range") == "" {
			breakOff(w, text, 20)
		}
		w.Header().Set("ETag", `"v1"`)
		serve(w, r, text)
	})
	progress := new(tally)
	c := &fetch.Client{Sleep: new(recorder).sleep, Progress: progress}
	got, err := c.Get(t.Context(), object(text, address))
	if err != nil || string(got) != text {
		t.Fatalf("%q, %v", got, err)
	}
	if want := []string{"", `bytes=20-"v1"`}; fmt.Sprint(ranges) != fmt.Sprint(want) {
		t.Errorf("asked for %q, want %q", ranges, want)
	}
	if progress.sum != int64(len(text)) || progress.ended != 1 {
		t.Errorf("progress heard of %d bytes, %d ends", progress.sum, progress.ended)
	}
}

// A server that answers a range request with other bytes, or not at all, costs
// a restart, never a wrong file.
func TestResumeRefused(t *testing.T) {
	for name, handle := range map[string]func(w http.ResponseWriter, r *http.Request){
		"changed meanwhile": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"v2"`)
			serve(w, r, text)
		},
		"not satisfiable": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			serve(w, r, text)
		},
		"another range": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-51/%d", len(text)))
				w.WriteHeader(http.StatusPartialContent)
				return
			}
			serve(w, r, text)
		},
		"another file's range": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Cache-Control") == "" {
				r.Header.Del("If-Range")
				serve(w, r, strings.ToUpper(text))
				return
			}
			serve(w, r, text)
		},
	} {
		address, _ := server(t, func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 0 {
				breakOff(w, text, 20)
			}
			handle(w, r)
		})
		for _, cache := range []*fetch.Cache{nil, openCache(t, t.TempDir())} {
			c := &fetch.Client{Sleep: new(recorder).sleep, Cache: cache}
			if got, err := c.Get(t.Context(), object(text, address)); err != nil || string(got) != text {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	}
}

// The first wait is short, each further one about twice as long.
func TestBackOff(t *testing.T) {
	address, _ := server(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) })
	r := new(recorder)
	c := &fetch.Client{Sleep: r.sleep, Tries: 9}
	if _, err := c.Get(t.Context(), object(text, address)); err == nil {
		t.Fatal("no error")
	}
	for i, d := range r.slept {
		most := min(500*time.Millisecond<<i, 30*time.Second)
		if d < most/2 || d > most {
			t.Errorf("wait %d: %s, want between %s and %s", i+1, d, most/2, most)
		}
	}
	if len(r.slept) != 8 {
		t.Errorf("waited %d times, want 8", len(r.slept))
	}
}

func TestRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		header   func() string
		min, max time.Duration
	}{
		{func() string { return "7" }, 6 * time.Second, 8 * time.Second},
		{func() string { return time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat) }, 17 * time.Second, 21 * time.Second},
		{func() string { return "86400" }, time.Minute, 62 * time.Second},
		{func() string { return "-5" }, 0, time.Second},
		{func() string { return "soon" }, 0, time.Second},
	} {
		address, _ := server(t, func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 0 {
				w.Header().Set("Retry-After", tt.header())
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			serve(w, r, text)
		})
		r := new(recorder)
		c := &fetch.Client{Sleep: r.sleep, MaxWait: time.Minute}
		if _, err := c.Get(t.Context(), object(text, address)); err != nil {
			t.Fatal(err)
		}
		if len(r.slept) != 1 || r.slept[0] < tt.min || r.slept[0] > tt.max {
			t.Errorf("%s: waited %s, want once between %s and %s", tt.header(), r.slept, tt.min, tt.max)
		}
	}
}

// No more requests run at once to one host than it was said to bear.
func TestPerHost(t *testing.T) {
	var running, most atomic.Int32
	address, _ := server(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		now := running.Add(1)
		defer running.Add(-1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		time.Sleep(5 * time.Millisecond)
		serve(w, r, r.URL.Path)
	})
	base := strings.TrimSuffix(address, "/pool/x_1_amd64.deb")
	var objects []fetch.Object
	for i := range 20 {
		p := fmt.Sprintf("/%d", i)
		objects = append(objects, object(p, base+p))
	}
	c := &fetch.Client{PerHost: 3, Jobs: 16, Cache: openCache(t, t.TempDir())}
	if err := c.FetchAll(t.Context(), objects); err != nil {
		t.Fatal(err)
	}
	if most.Load() != 3 {
		t.Errorf("%d requests at once, want 3", most.Load())
	}
	for i, o := range objects {
		if got, err := c.Cache.ReadFile(o); err != nil || string(got) != fmt.Sprintf("/%d", i) {
			t.Errorf("%d: %q, %v", i, got, err)
		}
	}
}

func TestFetchAllAndEach(t *testing.T) {
	address, _ := server(t, func(_ int, w http.ResponseWriter, r *http.Request) { serve(w, r, text) })
	c := &fetch.Client{Sleep: new(recorder).sleep, Cache: openCache(t, t.TempDir())}
	objects := []fetch.Object{object("other", address), object(text, address), object(text)}
	errs := c.FetchEach(t.Context(), objects)
	if errs[0] == nil || errs[1] != nil || errs[2] != nil && !strings.Contains(errs[2].Error(), "no address") {
		t.Errorf("errors %v", errs)
	}
	if err := c.FetchAll(t.Context(), objects); !errors.Is(err, fetch.ErrChecksum) {
		t.Errorf("error %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.FetchAll(ended, objects[1:2]); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context had ended: %v", err)
	}
	if err := (&fetch.Client{}).Fetch(t.Context(), objects[1]); err == nil {
		t.Error("fetched into no cache")
	}
}

// One object wanted by several images at once is fetched once.
func TestOnce(t *testing.T) {
	address, requests := server(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		serve(w, r, text)
	})
	c := &fetch.Client{Cache: openCache(t, t.TempDir())}
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if i%2 == 0 {
				if err := c.Fetch(t.Context(), object(text, address)); err != nil {
					t.Error(err)
				}
				return
			}
			if got, err := c.Get(t.Context(), object(text, address)); err != nil || string(got) != text {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	wg.Wait()
	if requests.Load() != 1 {
		t.Errorf("%d requests, want 1", requests.Load())
	}
}

// What is damaged in the cache is fetched again.
func TestDamagedIsFetchedAgain(t *testing.T) {
	address, requests := server(t, func(_ int, w http.ResponseWriter, r *http.Request) { serve(w, r, text) })
	c := &fetch.Client{Cache: openCache(t, t.TempDir())}
	o := object(text, address)
	if err := os.WriteFile(filepath.Join(c.Cache.Dir(), "sha256", o.SHA256), []byte(strings.ToUpper(text)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(t.Context(), o); err != nil || string(got) != text || requests.Load() != 1 {
		t.Errorf("%q, %v, %d requests", got, err, requests.Load())
	}
	r, err := c.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Verify(); err != nil || r.Size() != o.Size || requests.Load() != 1 {
		t.Errorf("%v, size %d, %d requests", err, r.Size(), requests.Load())
	}
}

// Ctrl-C ends a wait, a stalled transfer and a queue at once.
func TestContextEnds(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	address, _ := server(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 0 {
			w.WriteHeader(503)
			return
		}
		_, _ = w.Write([]byte(text[:5]))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	reason := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	c := &fetch.Client{PerHost: 1, Cache: openCache(t, t.TempDir())}
	time.AfterFunc(100*time.Millisecond, func() { cancel(reason) })
	errs := c.FetchEach(ctx, []fetch.Object{object(text, address), object("queued", address)})
	for i, err := range errs {
		if !errors.Is(err, reason) {
			t.Errorf("%d: %v, want the context's cause", i, err)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(c.Cache.Dir(), "tmp")); len(left) != 0 {
		t.Errorf("%d unfinished files left", len(left))
	}
}

// A server that stops sending does not hold the build for ever.
func TestStall(t *testing.T) {
	address, requests := server(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 0 {
			w.Header().Set("Content-Length", strconv.Itoa(len(text)))
			_, _ = w.Write([]byte(text[:5]))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		serve(w, r, text)
	})
	c := &fetch.Client{Stall: 50 * time.Millisecond, Sleep: new(recorder).sleep}
	if got, err := c.Get(t.Context(), object(text, address)); err != nil || string(got) != text || requests.Load() != 2 {
		t.Errorf("%q, %v, %d requests", got, err, requests.Load())
	}
}

func TestFileAddress(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a b.deb")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(p string) string { return (&url.URL{Scheme: "file", Path: p}).String() }
	c := &fetch.Client{Sleep: new(recorder).sleep}
	if got, err := c.Get(t.Context(), object(text, at(file+"-no"), at(file))); err != nil || string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{at(filepath.Dir(file)), "file://elsewhere" + file, "gopher://example.org/x", "x.deb", "http://exa mple.org/"} {
		if _, err := c.Get(t.Context(), object(text, bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	got, err := c.GetUnpinned(t.Context(), at(file), 100)
	if err != nil || string(got.Data) != text {
		t.Errorf("%v, %v", got, err)
	}
}

func TestGetUnpinned(t *testing.T) {
	address, _ := server(t, func(n int, w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/missing":
			w.WriteHeader(404)
		case n == 0:
			breakOff(w, text, 7)
		default:
			w.Header().Set("ETag", `"v1"`)
			serve(w, r, text)
		}
	})
	c := &fetch.Client{Sleep: new(recorder).sleep}
	got, err := c.GetUnpinned(t.Context(), address, int64(len(text)))
	if err != nil || string(got.Data) != text || got.Header.Get("ETag") != `"v1"` || got.URL != address {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.GetUnpinned(t.Context(), address, int64(len(text)-1)); err == nil || !strings.Contains(err.Error(), "more than 51 bytes") {
		t.Errorf("too long: %v", err)
	}
	u, _ := url.Parse(address)
	if _, err := c.GetUnpinned(t.Context(), u.ResolveReference(&url.URL{Path: "/missing"}).String(), 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v, want fs.ErrNotExist", err)
	}
}

// Passwords go to their host alone and are in no message.
func TestCredentials(t *testing.T) {
	elsewhere, _ := server(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			w.WriteHeader(400)
			return
		}
		serve(w, r, text)
	})
	elsewhere = strings.Replace(elsewhere, "127.0.0.1", "localhost", 1)
	address, _ := server(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "s3cret" {
			w.WriteHeader(401)
			return
		}
		http.Redirect(w, r, elsewhere, http.StatusFound)
	})
	host, _ := url.Parse(address)
	c := &fetch.Client{Credentials: func(u *url.URL) (string, string, bool) { return "u", "s3cret", u.Host == host.Host }}
	if got, err := c.Get(t.Context(), object(text, address)); err != nil || string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
	// An address on the way has its own.
	first, _ := server(t, func(_ int, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, address, http.StatusFound) })
	if got, err := c.Get(t.Context(), object(text, first)); err != nil || string(got) != text {
		t.Errorf("after a redirect: %q, %v", got, err)
	}
	withPassword := strings.Replace(address, "http://", "http://u:s3cret@", 1)
	if _, err := new(fetch.Client).Get(t.Context(), object(text, withPassword)); err != nil {
		t.Error(err)
	}
	wrong := strings.Replace(address, "http://", "http://u:pa55@", 1)
	_, err := new(fetch.Client).Get(t.Context(), object(text, wrong))
	if err == nil || strings.Contains(err.Error(), "pa55") {
		t.Errorf("error %v", err)
	}
}

// A certificate that nobody vouches for is not asked about twice, and a step
// from https to http is not taken.
func TestTLS(t *testing.T) {
	plainAddress, _ := server(t, func(_ int, w http.ResponseWriter, r *http.Request) { serve(w, r, text) })
	var requests atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.URL.Path == "/down" {
			http.Redirect(w, r, plainAddress, http.StatusFound)
			return
		}
		serve(w, r, text)
	}))
	defer s.Close()
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	record := new(recorder)
	c := &fetch.Client{Sleep: record.sleep}
	if _, err := c.Get(t.Context(), object(text, s.URL)); err == nil || !strings.Contains(err.Error(), "certificate") || len(record.slept) > 0 {
		t.Errorf("untrusted certificate: %v, after %d waits", err, len(record.slept))
	}
	c = &fetch.Client{Sleep: record.sleep, HTTP: &http.Client{Transport: s.Client().Transport}}
	if got, err := c.Get(t.Context(), object(text, s.URL)); err != nil || string(got) != text {
		t.Errorf("trusted certificate: %q, %v", got, err)
	}
	if _, err := c.Get(t.Context(), object(text, s.URL+"/down")); err == nil || !strings.Contains(err.Error(), "https to http") || requests.Load() != 2 {
		t.Errorf("redirect to http: %v, %d requests", err, requests.Load())
	}
}

// Machines that reach the world through a proxy say so in their environment,
// which net/http reads once per process.
func TestProxyFromEnvironment(t *testing.T) {
	var asked atomic.Value
	proxy, _ := server(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		asked.Store(r.RequestURI)
		serve(w, r, text)
	})
	u, _ := url.Parse(proxy)
	cmd := other(t.TempDir(), "proxy")
	cmd.Env = append(cmd.Env, "HTTP_PROXY=http://"+u.Host, "http_proxy=http://"+u.Host, "NO_PROXY=", "no_proxy=")
	if out, err := cmd.CombinedOutput(); err != nil || asked.Load() != "http://mirror.example.org/x.deb" {
		t.Errorf("%v, proxy was asked for %v: %s", err, asked.Load(), out)
	}
}

// tally is a Progress that adds up.
type tally struct {
	mu    sync.Mutex
	sum   int64
	ended int
	fetch.Transfer
}

func (p *tally) Start(string, int64) fetch.Transfer { return p }
func (p *tally) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sum += n
}
func (p *tally) Done(error) { p.ended++ }

// The bar ends at the object's size, whatever had to be thrown away.
func TestProgress(t *testing.T) {
	address, _ := server(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 0 {
			serve(w, r, strings.Repeat("wrong", 100))
			return
		}
		serve(w, r, text)
	})
	p := new(tally)
	c := &fetch.Client{Sleep: new(recorder).sleep, Progress: p}
	if _, err := c.Get(t.Context(), object(text, address)); err != nil {
		t.Fatal(err)
	}
	if p.sum != int64(len(text)) || p.ended != 1 {
		t.Errorf("%d bytes, %d ends", p.sum, p.ended)
	}
}

func BenchmarkGetCached(b *testing.B) {
	c, err := fetch.OpenCache(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	sum, err := c.Put(data)
	if err != nil {
		b.Fatal(err)
	}
	client := &fetch.Client{Cache: c}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := client.Get(b.Context(), fetch.Object{Name: "x", SHA256: sum, Size: int64(len(data))}); err != nil {
			b.Fatal(err)
		}
	}
}
