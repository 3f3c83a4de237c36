package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"distroless/internal/fetch"
)

// breakOff announces all and sends n bytes.
func breakOff(w http.ResponseWriter, data string, n int) {
	w.Header().Set("Accept-Ranges", "bytes")
	w.Header().Set("ETag", `"v1"`)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write([]byte(data[:n]))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
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
