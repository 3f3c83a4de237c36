package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// readAll reads an image as somebody does who wants all of it: what the name
// stands for, every manifest and blob below, and what is attached. It returns the
// bytes by digest.
func readAll(ctx context.Context, c *Client, ref string) (map[string][]byte, error) {
	r, err := c.Open(ref)
	if err != nil {
		return nil, err
	}
	top, err := r.Resolve(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	left := []v1.Descriptor{top}
	for len(left) > 0 {
		d := left[0]
		left = left[1:]
		if out[d.Digest.String()] != nil {
			continue
		}
		z, err := r.Blob(ctx, d)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(z)
		z.Close()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", d.Digest, err)
		}
		out[d.Digest.String()] = data
		switch {
		case d.MediaType.IsIndex():
			idx, err := v1.ParseIndexManifest(bytes.NewReader(data))
			if err != nil {
				return nil, err
			}
			left = append(left, idx.Manifests...)
		case d.MediaType.IsImage():
			m, err := v1.ParseManifest(bytes.NewReader(data))
			if err != nil {
				return nil, err
			}
			left = append(append(left, m.Config), m.Layers...)
		default:
			continue
		}
		more, err := r.Referrers(ctx, d.Digest)
		if err != nil {
			return nil, err
		}
		left = append(left, more...)
		d, ok, err := r.Tag(ctx, strings.Replace(d.Digest.String(), ":", "-", 1)+".sig")
		if err != nil {
			return nil, err
		}
		if ok {
			left = append(left, d)
		}
	}
	return out, nil
}

// pushed is a registry that has the small image, and what readAll is to find.
func pushed(t testing.TB, referrers bool) (h http.Handler, want map[string][]byte) {
	t.Helper()
	inner := newRegistry(referrers)
	srv, host := listen(inner)
	defer srv.Close()
	p := mustPlan(t, small(t), Naming{To: host + "/team"})
	if _, err := quick().Push(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	want = map[string][]byte{}
	for _, m := range p.Repositories[0].Manifests {
		want[m.Digest] = m.Bytes
		for _, b := range m.Blobs {
			f, err := b.open()
			if err != nil {
				t.Fatal(err)
			}
			if want[b.Digest], err = io.ReadAll(f); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
	return inner, want
}

const smallRef = "/team/base-debian13:latest"

// TestRead reads an image with what is attached to it, and counts requests. If it
// fails, verifying takes longer than it must, or finds no signature.
func TestRead(t *testing.T) {
	for _, referrers := range []bool{true, false} {
		inner, want := pushed(t, referrers)
		var mu sync.Mutex
		asked := map[string]int{}
		host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			mu.Lock()
			asked[req.Method+" "+req.URL.Path]++
			mu.Unlock()
			inner.ServeHTTP(w, req)
		}))
		got, err := readAll(t.Context(), quick(), host+smallRef)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want, "read")
		lists := 0
		for what, n := range asked {
			if strings.Contains(what, "/referrers/") {
				lists++
			}
			if n != 1 {
				t.Errorf("%s: %d times", what, n)
			}
		}
		if !referrers && lists != 1 {
			t.Errorf("a registry without lists was asked for %d", lists)
		}
		if asked["GET /v2/"] != 1 {
			t.Errorf("how the registry wants to be reached was asked %d times", asked["GET /v2/"])
		}
	}
}

func same(t testing.TB, got, want map[string][]byte, what string) {
	t.Helper()
	for _, d := range slices.Sorted(maps.Keys(want)) {
		if !bytes.Equal(got[d], want[d]) {
			t.Errorf("%s: %s has %d bytes, want %d", what, d, len(got[d]), len(want[d]))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d documents and blobs, want %d", what, len(got), len(want))
	}
}

// TestReadOneFault makes each request of a reader go wrong once, in each way. If
// it fails, a hiccup of a registry is taken for a bad image.
func TestReadOneFault(t *testing.T) {
	inner, want := pushed(t, false)
	for i, f := range faults {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			atEach(t, f, i%stride(), func(t *testing.T, at int) bool {
				c := quick()
				px := &proxy{inner: inner, fault: f, at: at}
				host, end := px.reach(c)
				defer end()
				got, err := readAll(t.Context(), c, host+smallRef)
				done := px.set(-1, false) <= at
				if err != nil && f != refuse {
					t.Errorf("request %d: %v", at, err)
				}
				if err == nil {
					same(t, got, want, fmt.Sprintf("%s at request %d", f, at))
				}
				return done
			})
		})
	}
}

// clearRead is an error that names the act, its subject, and what came of it.
var clearRead = regexp.MustCompile(`^(open|read|list) .*(sha256:[0-9a-f]{64}|team/base).*: .+`)

// TestReadDeadRegistry lets a registry go wrong from one request on. If it fails,
// an outage is not told from an image without signatures.
func TestReadDeadRegistry(t *testing.T) {
	inner, _ := pushed(t, false)
	for i, f := range faults {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			atEach(t, f, i%stride(), func(t *testing.T, at int) bool {
				c := quick()
				c.Attempts = 2
				px := &proxy{inner: inner, fault: f, at: at, forever: true}
				host, end := px.reach(c)
				defer end()
				_, err := readAll(t.Context(), c, host+smallRef)
				done := px.set(-1, false) <= at
				if (err == nil) != done {
					t.Errorf("request %d: the error is %v", at, err)
				}
				if err != nil && (errors.Is(err, context.Canceled) || !clearRead.MatchString(err.Error())) {
					t.Errorf("request %d: an error that does not say what was done, to what, and what came of it: %v", at, err)
				}
				return done
			})
		})
	}
}

// TestReadResumes breaks a large blob off several times. If it fails, a large
// image is never read over a bad line.
func TestReadResumes(t *testing.T) {
	data := bytes.Repeat([]byte("distroless "), 30_000)
	for _, ranges := range []string{"some", "none", "refused"} {
		breaks := []int{100_000, 1, 0, 50_000}
		var sent atomic.Int64
		host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if !strings.Contains(req.URL.Path, "/blobs/") {
				return
			}
			from := 0
			said := req.Header.Get("Range")
			if said != "" && ranges == "refused" {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			if said != "" && ranges == "some" {
				if _, err := fmt.Sscanf(said, "bytes=%d-", &from); err != nil {
					t.Error(err)
				}
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(data)-from))
			if from > 0 {
				w.WriteHeader(http.StatusPartialContent)
			}
			rest := data[from:]
			if len(breaks) > 0 {
				rest = rest[:breaks[0]]
				breaks = breaks[1:]
			}
			n, _ := w.Write(rest)
			sent.Add(int64(n))
			if len(rest) < len(data)-from {
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
		}))
		r, err := quick().Open(host + "/app:1")
		if err != nil {
			t.Fatal(err)
		}
		h, err := v1.NewHash(digestOf(data))
		if err != nil {
			t.Fatal(err)
		}
		z, err := r.Blob(t.Context(), v1.Descriptor{MediaType: types.OCILayer, Digest: h, Size: int64(len(data))})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(z)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("ranges %s: %d bytes of %d, %v", ranges, len(got), len(data), err)
		}
		if z.Close(); ranges == "some" && sent.Load() > int64(len(data)+200_000) {
			t.Errorf("%d bytes were sent of a blob of %d", sent.Load(), len(data))
		}
	}
}

// TestReadScope reads from a registry that gives tokens. If it fails, whoever may
// read but not write cannot verify.
func TestReadScope(t *testing.T) {
	inner, want := pushed(t, true)
	var scopes []string
	host := ""
	host = serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.URL.Path == "/token":
			scopes = append(scopes, req.URL.Query()["scope"]...)
			fmt.Fprint(w, `{"token":"t"}`)
		case req.Header.Get("Authorization") != "Bearer t":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="here"`, host))
			w.WriteHeader(http.StatusUnauthorized)
		default:
			inner.ServeHTTP(w, req)
		}
	}))
	got, err := readAll(t.Context(), quick(), host+smallRef)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want, "with tokens")
	if !slices.Equal(scopes, []string{"repository:team/base-debian13:pull"}) {
		t.Errorf("asked for tokens for %v", scopes)
	}
}

// TestReadPages lists attachments that come in pages. If it fails, signatures on
// the second page are not there for us.
func TestReadPages(t *testing.T) {
	page := func(c string) string {
		return fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"a","size":1,"digest":"sha256:%s"}]}`, strings.Repeat(c, 64))
	}
	elsewhere := false
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		switch last := req.URL.Query().Get("last"); last {
		case "":
			w.Header().Set("Link", `</v2/app/referrers/x?last=a>; rel="next"`)
			fmt.Fprint(w, page("a"))
		case "a":
			if elsewhere {
				w.Header().Set("Link", `<http://elsewhere.example.org/v2/app/referrers/x?last=b>; rel="next"`)
			}
			fmt.Fprint(w, page("b"))
		default:
			t.Errorf("asked for %s", req.URL)
		}
	}))
	for _, elsewhere = range []bool{false, true} {
		r, err := quick().Open(host + "/app:1")
		if err != nil {
			t.Fatal(err)
		}
		list, err := r.Referrers(t.Context(), v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)})
		if err != nil || len(list) != 2 {
			t.Errorf("%d attachments, %v", len(list), err)
		}
	}
}

// TestReadOther reads from a registry that sends other manifests than it is asked
// for, one that can be read and one that cannot. If it fails, what was altered is
// taken for a registry that does not work.
func TestReadOther(t *testing.T) {
	for _, sent := range []string{`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`, "no manifest"} {
		host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			fmt.Fprint(w, sent)
		}))
		r, err := quick().Open(host + "/team/app@sha256:" + strings.Repeat("0", 64))
		if err != nil {
			t.Fatal(err)
		}
		d, err := r.Resolve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d.Digest.Hex != strings.Repeat("0", 64) {
			t.Errorf("it stands for %s, not for what was asked for", d.Digest)
		}
		z, err := r.Blob(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(z); err != nil || string(got) != sent {
			t.Errorf("%q, %v; want %q", got, err, sent)
		}
	}
}

// TestForbidden reads and pushes with credentials that do not do, to the registry
// itself or to the server that gives out its tokens. If it fails,
// people are told to push elsewhere who wanted to read.
func TestForbidden(t *testing.T) {
	for _, tokens := range []bool{false, true} {
		host := ""
		host = serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			switch {
			case req.URL.Path != "/v2/":
				w.WriteHeader(http.StatusForbidden)
			case tokens:
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="here"`, host))
				w.WriteHeader(http.StatusUnauthorized)
			}
		}))
		r, err := quick().Open(host + "/team/app:1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err = r.Resolve(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "may not read this: use others") {
			t.Errorf("reading, tokens %v: %v", tokens, err)
		}
		_, err = quick().Push(t.Context(), mustPlan(t, small(t), Naming{To: host}))
		if err == nil || !strings.Contains(err.Error(), "may not write here: use others, or push elsewhere") {
			t.Errorf("pushing, tokens %v: %v", tokens, err)
		}
	}
}

// TestReadMissing reads what is not there. If it fails, people do not learn that
// they have mistyped a name.
func TestReadMissing(t *testing.T) {
	host := start(t, true)
	r, err := quick().Open(host + "/team/nothing:latest")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resolve(t.Context()); err == nil || !strings.Contains(err.Error(), "the registry has no such image") {
		t.Errorf("the error is %v", err)
	}
	if _, ok, err := r.Tag(t.Context(), "other"); ok || err != nil {
		t.Errorf("a tag that is not there: %v, %v", ok, err)
	}
}

// TestNoRegistry names a machine that does not exist, and one where nothing
// listens. If it fails, people wait for half a minute to learn of a typing error.
func TestNoRegistry(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"no such machine": {&net.DNSError{Err: "no such host", Name: "registry.invalid", IsNotFound: true}, "is the registry's name right?"},
		"nothing there":   {syscall.ECONNREFUSED, "is the registry running?"},
	} {
		tries := 0
		client := quick()
		client.Transport = transportFunc(func(*http.Request) (*http.Response, error) {
			tries++
			return nil, &net.OpError{Op: "dial", Err: c.err}
		})
		r, err := client.Open("registry.invalid/app:1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err = r.Resolve(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) || tries > 1 {
			t.Errorf("%s: %d tries, %v", name, tries, err)
		}
	}
}
