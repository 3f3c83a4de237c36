package archivetest

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Fault changes how a request is answered: body are the right bytes, or nil
// where there is no such file. It may write an answer of its own, or return
// the bytes to serve.
type Fault func(w http.ResponseWriter, req *http.Request, body []byte) (serve []byte, answered bool)

// fault is a Fault with where and how often it strikes.
type fault struct {
	match string
	left  int // negative for ever
	do    Fault
}

// Fault lets f strike the next times requests whose path contains match; times
// of 0 is for ever.
func (r *Repo) Fault(match string, times int, f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if times == 0 {
		times = -1
	}
	r.faults = append(r.faults, &fault{match, times, f})
}

// Heal ends all faults that [Repo.Fault] began.
func (r *Repo) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// Status answers with an HTTP status.
func Status(code int) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) ([]byte, bool) {
		w.WriteHeader(code)
		return nil, true
	}
}

// Throttle answers 429 with that Retry-After.
func Throttle(retryAfter string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) ([]byte, bool) {
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(http.StatusTooManyRequests)
		return nil, true
	}
}

// Corrupt serves as many bytes, the last of them wrong.
func Corrupt() Fault {
	return func(_ http.ResponseWriter, _ *http.Request, body []byte) ([]byte, bool) {
		body = bytes.Clone(body)
		if len(body) > 0 {
			body[len(body)-1] ^= 1
		}
		return body, false
	}
}

// Replace serves other bytes.
func Replace(data string) Fault {
	return func(http.ResponseWriter, *http.Request, []byte) ([]byte, bool) { return []byte(data), false }
}

// Break announces the whole body and closes the connection after n bytes of
// it, or of the part that was asked for.
func Break(n int) Fault {
	return func(w http.ResponseWriter, req *http.Request, body []byte) ([]byte, bool) {
		http.ServeContent(&short{ResponseWriter: w, left: n}, req, "", time.Time{}, bytes.NewReader(body))
		panic(http.ErrAbortHandler)
	}
}

// short passes on a number of bytes and drops the rest.
type short struct {
	http.ResponseWriter
	left int
}

func (s *short) Write(p []byte) (int, error) {
	n := min(len(p), s.left)
	s.left -= n
	if _, err := s.ResponseWriter.Write(p[:n]); err != nil {
		return 0, err
	}
	_ = http.NewResponseController(s.ResponseWriter).Flush()
	return len(p), nil
}

// Slow waits before it answers, or until the client has gone.
func Slow(d time.Duration) Fault {
	return func(_ http.ResponseWriter, req *http.Request, body []byte) ([]byte, bool) {
		select {
		case <-time.After(d):
		case <-req.Context().Done():
		}
		return body, false
	}
}

// StaleIndex makes a suite's index of an architecture one that does not match
// its Release, as on a mirror in the middle of a sync: other bytes under its
// name, nothing by its digest.
func (r *Repo) StaleIndex(suiteName string, arches ...string) {
	r.withSuite(suiteName, func(s *suite) {
		for _, a := range arches {
			s.broken[a] = true
		}
	})
}

// Unsign takes a suite's InRelease and Release.gpg away.
func (r *Repo) Unsign(suiteName string) {
	r.withSuite(suiteName, func(s *suite) { s.unsigned = true })
}

// WrongKey signs a suite with a key that is not in the keyring.
func (r *Repo) WrongKey(suiteName string) {
	r.withSuite(suiteName, func(s *suite) { s.wrongKey = true })
}

// EditRelease changes the text of a suite's Release before it is signed.
func (r *Repo) EditRelease(suiteName string, edit func(string) string) {
	r.withSuite(suiteName, func(s *suite) { s.edit = edit })
}

// EditInRelease changes a suite's InRelease after it was signed; an empty one
// is not served, so that only Release and Release.gpg are.
func (r *Repo) EditInRelease(suiteName string, edit func(string) string) {
	r.withSuite(suiteName, func(s *suite) { s.sign = edit })
}

// SetDate makes all Release files anew, with that date.
func (r *Repo) SetDate(date time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.o.Date, r.files = date.UTC().Truncate(time.Second), nil
}

// Requests returns how many requests had match in their path, so far.
func (r *Repo) Requests(match string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, p := range r.requests {
		if strings.Contains(p, match) {
			n++
		}
	}
	return n
}

// Export writes everything that is served into a folder, as a mirror on disk
// with debian, debian-security and flat in it. Faults of [Repo.Fault] are of
// the network and do not show there.
func (r *Repo) Export(dir string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.files == nil {
		if err := r.publish(); err != nil {
			r.t.Fatal(err)
		}
	}
	for name, c := range r.files {
		data, err := c.read()
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(file), 0o755)
		}
		if err == nil {
			err = os.WriteFile(file, data, 0o644)
		}
		if err != nil {
			r.t.Fatalf("export the archive: %v", err)
		}
	}
}

// ServeHTTP serves the archives below /debian, /debian-security and /flat.
func (r *Repo) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, strike, err := r.look(req.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if strike != nil {
		var answered bool
		if body, answered = strike(w, req, body); answered {
			return
		}
	}
	if body == nil {
		http.NotFound(w, req)
		return
	}
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(body))
}

// look finds a file and the fault that strikes this request, if one does.
func (r *Repo) look(path string) (body []byte, strike Fault, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, path)
	if r.files == nil {
		if err := r.publish(); err != nil {
			return nil, nil, err
		}
	}
	if c, found := r.files[path]; found {
		if body, err = c.read(); err != nil {
			return nil, nil, err
		}
		if body == nil {
			body = []byte{}
		}
	}
	for _, f := range r.faults {
		if f.left != 0 && strings.Contains(path, f.match) {
			f.left--
			return body, f.do, nil
		}
	}
	return body, nil, nil
}
