package e2e

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"distroless/internal/debian/archive"
)

// mirror serves Debian's archives on loopback as they are, and fetches each
// file from them once. So builds from a cold cache cost the archive nothing,
// and can be slowed down to be caught in the middle. What it serves is signed
// by Debian; the program trusts it no more than any other mirror.
type mirror struct {
	server *httptest.Server
	roots  map[string]string // "/debian/" to the archive's root
	dir    string

	mu    sync.Mutex
	files map[string]func() (string, error) // by path: where the file lies

	// slow is how long each 16 KiB takes, in nanoseconds.
	slow atomic.Int64
	// served counts answers.
	served atomic.Int64
}

func (s *shared) newMirror() (*mirror, error) {
	addr, err := archive.Discover(archive.DiscoverOptions{
		Main: os.Getenv("DISTROLESS_ARCHIVE"), Security: os.Getenv("DISTROLESS_SECURITY_ARCHIVE"), Machine: os.DirFS("/"),
	})
	if err != nil {
		return nil, err
	}
	m := &mirror{
		roots: map[string]string{"/debian/": addr.Main[0], "/debian-security/": addr.Security[0]},
		dir:   filepath.Join(s.cache, "mirror"), files: map[string]func() (string, error){},
	}
	m.server = httptest.NewServer(m)
	return m, nil
}

// args name the mirror to the program.
func (m *mirror) args() []string {
	return []string{"--archive", m.server.URL + "/debian", "--security-archive", m.server.URL + "/debian-security"}
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	m.served.Add(1)
	m.mu.Lock()
	get := m.files[req.URL.Path]
	if get == nil {
		get = sync.OnceValues(func() (string, error) { return m.fetch(req.URL.Path) })
		m.files[req.URL.Path] = get
	}
	m.mu.Unlock()
	file, err := get()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.NotFound(w, req)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if m.slow.Load() > 0 {
		w = &slowly{w, m}
	}
	http.ServeFile(w, req, file)
}

// fetch brings a file. Those that are never changed under their name are kept
// from run to run.
func (m *mirror) fetch(path string) (string, error) {
	file := filepath.Join(m.dir, filepath.FromSlash(path))
	forever := strings.Contains(path, "/pool/") || strings.Contains(path, "/by-hash/")
	if _, err := os.Stat(file); err == nil && forever {
		return file, nil
	}
	for prefix, root := range m.roots {
		rest, ok := strings.CutPrefix(path, prefix)
		if !ok {
			continue
		}
		body, err := get(strings.TrimSuffix(root, "/") + "/" + rest)
		if err != nil {
			return "", err
		}
		defer body.Close()
		return file, write(file, body)
	}
	return "", fs.ErrNotExist
}

// get opens an address. An answer of 404 is an [fs.ErrNotExist].
func get(address string) (io.ReadCloser, error) {
	resp, err := http.Get(address)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("get %s: %w", address, fs.ErrNotExist)
	}
	return nil, fmt.Errorf("get %s: status %s", address, resp.Status)
}

// write makes a file, whole or not at all.
func write(file string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, r)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// slowly writes a body bit by bit. Hiding the other methods of the writer
// keeps the body from taking a short cut.
type slowly struct {
	http.ResponseWriter
	m *mirror
}

func (s *slowly) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		time.Sleep(time.Duration(s.m.slow.Load()))
		var some int
		some, err = s.ResponseWriter.Write(p[:min(len(p), 16<<10)])
		n, p = n+some, p[some:]
		_ = http.NewResponseController(s.ResponseWriter).Flush()
	}
	return n, err
}
