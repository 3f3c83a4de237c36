package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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
