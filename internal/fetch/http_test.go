package fetch_test

import (
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"distroless/internal/fetch"
)

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
