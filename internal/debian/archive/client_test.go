package archive_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"distroless/internal/debian/archive"
	"distroless/internal/debian/archivetest"
	"distroless/internal/fetch"
)

// quick is a client that does not wait between tries.
func quick(t *testing.T) *archive.Client {
	t.Helper()
	cache, err := fetch.OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &archive.Client{Fetch: &fetch.Client{
		Cache: cache,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}}
}

func packages(t *testing.T, c *archive.Client, s archive.Suite, component, arch string) (string, error) {
	t.Helper()
	r, err := c.Release(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	x, err := c.Packages(t.Context(), r, component, arch)
	if err != nil {
		return "", err
	}
	reader, err := x.Open(t.Context())
	if err != nil {
		return "", err
	}
	defer reader.Close()
	text, err := io.ReadAll(reader)
	if whole, werr := x.ReadAll(t.Context()); err == nil && (werr != nil || string(whole) != string(text)) {
		t.Errorf("ReadAll: %v, %d bytes, Open had %d", werr, len(whole), len(text))
	}
	if err == nil && x.Size() >= 0 && x.Size() != int64(len(text)) {
		t.Errorf("Size() = %d, text has %d bytes", x.Size(), len(text))
	}
	return string(text), err
}

// From a keyring to a package's bytes, over each form of index.
func TestWholeWay(t *testing.T) {
	for _, forms := range [][]string{{".xz", ""}, {".gz"}, {""}, {".xz", ".gz"}} {
		t.Run(strings.Join(forms, ","), func(t *testing.T) {
			r := archivetest.New(t, archivetest.Options{Indices: forms})
			r.Add("trixie", archivetest.Package{Name: "libx1"}, archivetest.Package{Name: "tz", Arch: "all"},
				archivetest.Package{Name: "libx1", Arch: "arm64"})
			r.Add("trixie-security", archivetest.Package{Name: "libx1", Version: "1.0-1+deb13u1"})
			c := quick(t)
			text, err := packages(t, c, r.Suite("trixie"), "main", "amd64")
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(text, "Package: ") != 2 || !strings.Contains(text, "Package: tz\n") {
				t.Errorf("index of amd64 has other packages:\n%s", text)
			}
			text, err = packages(t, c, r.Suite("trixie-security"), "main", "amd64")
			if err != nil || !strings.Contains(text, "Version: 1.0-1+deb13u1\n") {
				t.Fatalf("security: %v\n%s", err, text)
			}
			o, err := r.Suite("trixie-security").Object(field(text, "Filename"), field(text, "SHA256"), -1)
			if err != nil {
				t.Fatal(err)
			}
			if o.Name != "libx1_1.0-1+deb13u1_amd64.deb" || !strings.HasSuffix(o.URLs[0], "/pool/main/libx/libx1/libx1_1.0-1%2Bdeb13u1_amd64.deb") {
				t.Errorf("object %s at %s", o.Name, o.URLs)
			}
			if _, err := c.Fetch.Get(t.Context(), o); err != nil {
				t.Error(err)
			}
		})
	}
}

func field(text, name string) string {
	_, after, _ := strings.Cut("\n"+text, "\n"+name+": ")
	value, _, _ := strings.Cut(after, "\n")
	return value
}

// An index that was fetched is taken from the cache, by its digest.
func TestIndexIsCached(t *testing.T) {
	r := archivetest.New(t, archivetest.Options{})
	r.Add("trixie", archivetest.Package{Name: "libx1"})
	c := quick(t)
	for range 2 {
		if _, err := packages(t, c, r.Suite("trixie"), "main", "amd64"); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.Requests("by-hash/"); n != 1 {
		t.Errorf("index was asked for %d times, want once", n)
	}
	if n := r.Requests("InRelease"); n != 2 {
		t.Errorf("InRelease was asked for %d times, want anew each time", n)
	}
}

// What an archive that cannot prove its index leads to: an error that names
// the file and both digests, not another suite's packages.
func TestMismatch(t *testing.T) {
	r := archivetest.New(t, archivetest.Options{})
	r.Add("trixie", archivetest.Package{Name: "libx1"}, archivetest.Package{Name: "libx1", Arch: "s390x"})
	r.StaleIndex("trixie", "s390x")
	c := quick(t)
	if _, err := packages(t, c, r.Suite("trixie"), "main", "amd64"); err != nil {
		t.Errorf("the other architecture: %v", err)
	}
	_, err := packages(t, c, r.Suite("trixie"), "main", "s390x")
	if !errors.Is(err, archive.ErrMismatch) {
		t.Fatalf("error %v, want ErrMismatch", err)
	}
	var sum *fetch.ChecksumError
	if !errors.As(err, &sum) || len(sum.Got) != 64 || len(sum.Want) != 64 {
		t.Fatalf("error %v has no two digests", err)
	}
	for _, want := range []string{"trixie for s390x", "main/binary-s390x/Packages.xz", sum.Got, sum.Want, "by-hash", "404", "another mirror", "does not match its Release of 20"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q:\n%v", want, err)
		}
	}
}

// A mirror in the middle of a sync is passed over for one that is whole.
func TestOtherMirror(t *testing.T) {
	stale := archivetest.New(t, archivetest.Options{})
	stale.Add("trixie", archivetest.Package{Name: "libx1"})
	c := quick(t)
	s := stale.Suite("trixie")
	whole := s.Roots[0]
	// The same archive, through a server that lacks its by-hash files and has
	// other bytes under the names.
	stale.Fault("/mirror", 0, archivetest.Status(http.StatusNotFound))
	s.Roots = []string{strings.Replace(whole, "/debian", "/mirror", 1), whole}
	if _, err := packages(t, c, s, "main", "amd64"); err != nil {
		t.Fatal(err)
	}
}

func TestIndexFaults(t *testing.T) {
	tests := []struct {
		name  string
		match string
		times int
		fault archivetest.Fault
		ok    bool
	}{
		{"by-hash missing once it was deleted", "by-hash", 0, archivetest.Status(404), true},
		{"wrong bytes once", "by-hash", 1, archivetest.Corrupt(), true},
		{"wrong bytes by digest, right by name", "by-hash", 0, archivetest.Corrupt(), true},
		{"closed in the middle", "by-hash", 3, archivetest.Break(50), true},
		{"throttled", "by-hash", 2, archivetest.Throttle("1"), true},
		{"server error", "by-hash", 4, archivetest.Status(503), true},
		{"wrong everywhere", "Packages", 0, archivetest.Corrupt(), true},
		{"wrong everywhere and always", "main/", 0, archivetest.Corrupt(), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := archivetest.New(t, archivetest.Options{})
			r.Add("trixie", archivetest.Package{Name: "libx1", Depends: strings.Repeat("liby1, ", 40) + "libz1"})
			r.Fault(tt.match, tt.times, tt.fault)
			_, err := packages(t, quick(t), r.Suite("trixie"), "main", "amd64")
			if (err == nil) != tt.ok {
				t.Errorf("error %v, want success: %v", err, tt.ok)
			}
			if !tt.ok && !errors.Is(err, archive.ErrMismatch) {
				t.Errorf("error %v, want ErrMismatch", err)
			}
		})
	}
}

func TestReleaseRefused(t *testing.T) {
	add := func(s string) func(string) string { return func(text string) string { return text + s } }
	replace := func(old, new string) func(string) string {
		return func(text string) string { return strings.Replace(text, old, new, 1) }
	}
	tests := []struct {
		name    string
		prepare func(*archivetest.Repo)
		want    error
		says    string
	}{
		{"unsigned", func(r *archivetest.Repo) { r.Unsign("trixie") }, archive.ErrSignature, "neither InRelease nor Release.gpg"},
		{"wrong key", func(r *archivetest.Repo) { r.WrongKey("trixie") }, archive.ErrSignature, "unknown key"},
		{"altered", func(r *archivetest.Repo) { r.EditInRelease("trixie", replace("Origin: Test", "Origin: Tost")) }, archive.ErrSignature, "invalid signature"},
		{"text after it", func(r *archivetest.Repo) { r.EditInRelease("trixie", add("Suite: evil\n")) }, archive.ErrSignature, "not one clear-signed message"},
		{"text before it", func(r *archivetest.Repo) {
			r.EditInRelease("trixie", func(s string) string { return "Suite: evil\n" + s })
		}, archive.ErrSignature, "does not begin with"},
		{"two messages", func(r *archivetest.Repo) { r.EditInRelease("trixie", func(s string) string { return s + s }) }, archive.ErrSignature, "second message"},
		{"dash not escaped", func(r *archivetest.Repo) {
			r.EditInRelease("trixie", replace("Label: Test\n", "Label: Test\n-----BEGIN X-----\n"))
		}, archive.ErrSignature, "not escaped"},
		{"control character", func(r *archivetest.Repo) { r.EditInRelease("trixie", replace("Label: Test", "Label: \x00Test")) }, archive.ErrSignature, "control character"},
		{"signature cut off", func(r *archivetest.Repo) {
			r.EditInRelease("trixie", func(s string) string { return s[:len(s)-100] })
		}, archive.ErrSignature, ""},
		{"no signature", func(r *archivetest.Repo) {
			r.EditInRelease("trixie", func(s string) string { return s[:strings.Index(s, "-----BEGIN PGP SIGNATURE")] })
		}, archive.ErrSignature, "0 signature blocks"},
		{"another suite replayed", func(r *archivetest.Repo) {
			r.EditRelease("trixie", func(s string) string { return strings.ReplaceAll(s, ": trixie\n", ": bookworm\n") })
		}, archive.ErrSuite, `Codename "bookworm"`},
		{"no suite named", func(r *archivetest.Repo) {
			r.EditRelease("trixie", func(s string) string {
				return strings.Replace(s, "Suite: trixie\nCodename: trixie\n", "", 1)
			})
		}, archive.ErrSuite, "neither Suite nor Codename"},
		{"from the future", func(r *archivetest.Repo) {
			r.EditRelease("trixie", func(s string) string {
				return replace(field(s, "Date"), "Sat, 01 Jan 2200 00:00:00 UTC")(s)
			})
		}, archive.ErrFuture, "2200-01-01"},
		{"no longer valid", func(r *archivetest.Repo) {
			r.EditRelease("trixie", replace("Acquire", "Valid-Until: Sat, 09 Aug 2025 09:16:30 UTC\nAcquire"))
		}, archive.ErrExpired, "2025-08-09T09:16:30Z"},
		{"weak digests only", func(r *archivetest.Repo) { r.EditRelease("trixie", replace("SHA256:", "SHA1:")) }, archive.ErrWeak, "SHA256"},
		{"path out of the archive", func(r *archivetest.Repo) {
			r.EditRelease("trixie", replace("main/binary-amd64/Packages.xz", "../binary-amd64/Packages.xz"))
		}, nil, "not a plain relative one"},
		{"field twice", func(r *archivetest.Repo) { r.EditRelease("trixie", replace("Label: Test", "Origin: Test")) }, nil, "twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := archivetest.New(t, archivetest.Options{})
			r.Add("trixie", archivetest.Package{Name: "libx1"})
			tt.prepare(r)
			got, err := quick(t).Release(t.Context(), r.Suite("trixie"))
			if err == nil {
				t.Fatalf("accepted: %+v", got.State)
			}
			if tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v\nwant %v, saying %q", err, tt.want, tt.says)
			}
		})
	}
}

// A mirror whose Release is out of date is no obstacle while another is right.
func TestReleaseFromOtherMirror(t *testing.T) {
	r := archivetest.New(t, archivetest.Options{})
	r.Add("trixie", archivetest.Package{Name: "libx1"})
	r.Fault("/old/dists/trixie/InRelease", 0, archivetest.Replace("stale"))
	s := r.Suite("trixie")
	s.Roots = []string{strings.Replace(r.URL(), "/debian", "/old", 1), r.URL()}
	if _, err := quick(t).Release(t.Context(), s); err != nil {
		t.Error(err)
	}
	s.Roots = s.Roots[:1]
	if _, err := quick(t).Release(t.Context(), s); !errors.Is(err, archive.ErrSignature) {
		t.Errorf("error %v, want ErrSignature", err)
	}
}

// Some archives have no InRelease.
func TestDetachedSignature(t *testing.T) {
	r := archivetest.New(t, archivetest.Options{})
	r.Add("trixie", archivetest.Package{Name: "libx1"})
	r.EditInRelease("trixie", func(string) string { return "" })
	c := quick(t)
	if _, err := packages(t, c, r.Suite("trixie"), "main", "amd64"); err != nil {
		t.Fatal(err)
	}
	r.Fault("Release.gpg", 0, archivetest.Replace("-----BEGIN PGP SIGNATURE-----\n\n=aaaa\n-----END PGP SIGNATURE-----\n"))
	if _, err := c.Release(t.Context(), r.Suite("trixie")); !errors.Is(err, archive.ErrSignature) {
		t.Errorf("error %v, want ErrSignature", err)
	}
}

func TestArchitecturesAndComponents(t *testing.T) {
	r := archivetest.New(t, archivetest.Options{Arches: []string{"amd64"}})
	r.Add("trixie", archivetest.Package{Name: "a"}, archivetest.Package{Name: "b", Component: "contrib"})
	r.Add("trixie-security")
	for _, tt := range []struct {
		suite, component, arch string
		want                   error
	}{
		{"trixie", "main", "amd64", nil},
		{"trixie", "contrib", "amd64", nil},
		{"trixie", "main", "riscv64", archive.ErrArchitecture},
		{"trixie", "main", "all", archive.ErrArchitecture},
		{"trixie", "non-free", "amd64", archive.ErrComponent},
		{"trixie-security", "main", "amd64", nil},
		{"trixie-security", "main", "s390x", archive.ErrArchitecture},
	} {
		if _, err := packages(t, quick(t), r.Suite(tt.suite), tt.component, tt.arch); !errors.Is(err, tt.want) {
			t.Errorf("%s %s %s: %v, want %v", tt.suite, tt.component, tt.arch, err, tt.want)
		}
	}
}

// Third-party archives may list Architecture: all apart, or be one flat folder.
func TestThirdPartyShapes(t *testing.T) {
	r := archivetest.New(t, archivetest.Options{Arches: []string{"amd64"}, SeparateAll: true, NoByHash: true})
	r.Add("stable", archivetest.Package{Name: "a"}, archivetest.Package{Name: "b", Arch: "all"})
	r.Add("./", archivetest.Package{Name: "flat"})
	text, err := packages(t, quick(t), r.Suite("stable"), "main", "amd64")
	if err != nil || !strings.Contains(text, "Package: a\n") || !strings.Contains(text, "\n\nPackage: b\n") {
		t.Errorf("two indices: %v\n%s", err, text)
	}
	if text, err = packages(t, quick(t), r.Suite("stable"), "main", "arm64"); err != nil || strings.Contains(text, "Package: a\n") {
		t.Errorf("an architecture that has only packages of all: %v\n%s", err, text)
	}
	c := quick(t)
	text, err = packages(t, c, r.Suite("./"), "", "amd64")
	if err != nil || !strings.Contains(text, "Package: flat\n") {
		t.Fatalf("flat: %v\n%s", err, text)
	}
	o, err := r.Suite("./").Object("./"+field(text, "Filename"), field(text, "SHA256"), -1)
	if err == nil {
		_, err = c.Fetch.Get(t.Context(), o)
	}
	if err != nil {
		t.Error(err)
	}
}

// A mirror on disk is one too, and so are .debs that another archive made.
func TestLocalMirror(t *testing.T) {
	p := archivetest.Package{Name: "libx1", Version: "1:1.0-1+b1"}
	deb, err := p.Build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "x.deb")
	if err := os.WriteFile(file, deb, 0o600); err != nil {
		t.Fatal(err)
	}
	r := archivetest.New(t, archivetest.Options{})
	r.AddFile("trixie", file, p.Paragraph()+"Filename: pool/main/x/x/libx1_1.0-1+b1_amd64.deb\nSize: 1\nSHA256: 00\nMD5sum: 00\n")
	r.Export(dir)
	s := r.Suite("trixie")
	a, err := archive.Discover(archive.DiscoverOptions{Main: filepath.Join(dir, "debian")})
	if err != nil {
		t.Fatal(err)
	}
	s.Roots = a.Main
	c := quick(t)
	text, err := packages(t, c, s, "main", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	size, _ := strconv.ParseInt(field(text, "Size"), 10, 64)
	o, err := s.Object(field(text, "Filename"), field(text, "SHA256"), size)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Fetch.Get(t.Context(), o); err != nil || !bytes.Equal(got, deb) {
		t.Errorf("%s: %d bytes, want %d, %v", o.Name, len(got), len(deb), err)
	}
	if r.Requests("") != 0 {
		t.Error("the network was asked")
	}
	s.Name = "bookworm"
	if _, err := c.Release(t.Context(), s); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("suite that is not there: %v, want fs.ErrNotExist", err)
	}
}

func TestObjectRefusesPaths(t *testing.T) {
	for _, p := range []string{"", "../x.deb", "/etc/x.deb", "pool/../../x.deb", "pool//x.deb", "pool/x\n.deb", `pool\x.deb`} {
		if o, err := (archive.Suite{Name: "trixie", Roots: []string{"http://example.org"}}).Object(p, "", -1); err == nil {
			t.Errorf("%q: became %s", p, o.URLs)
		}
	}
}
