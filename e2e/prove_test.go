package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"distroless/catalog"
	"distroless/internal/build"
	"distroless/internal/debian/archive"
	"distroless/internal/debian/archivetest"
	"distroless/internal/debian/deb822"
	"distroless/internal/fetch"
	"distroless/internal/oci/layer"
	"distroless/internal/oci/layout"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/spec"
	"distroless/internal/testenv"
	"distroless/internal/xz"
)

// others are the architectures of debian13 that the archive reached here has
// not been seen to prove: their indices are older than the signed Release.
var others = []string{"armhf", "ppc64el", "riscv64", "s390x"}

// file returns a file of the archives through the mirror, unverified; nil if
// it is not there. path begins with /debian/ or /debian-security/.
func (m *mirror) file(t testing.TB, path string) []byte {
	t.Helper()
	body, err := get(m.server.URL + path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// suiteRoot is where a suite lies on the mirror.
func suiteRoot(suite string) string {
	if strings.HasSuffix(suite, "-security") {
		return "/debian-security/"
	}
	return "/debian/"
}

var suites = []string{"trixie-security", "trixie-updates", "trixie"}

// staleness is an index that is not the one its Release lists.
type staleness struct{ suite, want, got string }

// stale looks, apart from the program, for an index of an architecture that
// does not match its Release; nil if all match.
func (m *mirror) stale(t testing.TB, arch string) *staleness {
	t.Helper()
	for _, suite := range suites {
		dists := suiteRoot(suite) + "dists/" + suite + "/"
		name := "main/binary-" + arch + "/Packages.xz"
		want := ""
		_, sums, _ := strings.Cut(string(m.file(t, dists+"InRelease")), "\nSHA256:")
		for line := range strings.Lines(sums) {
			if f := strings.Fields(line); len(f) == 3 && f[2] == name {
				want = f[0]
			}
		}
		if want == "" {
			return &staleness{suite: suite}
		}
		if m.file(t, dists+"main/binary-"+arch+"/by-hash/SHA256/"+want) != nil {
			continue
		}
		sum := sha256.Sum256(m.file(t, dists+name))
		if got := hex.EncodeToString(sum[:]); got != want {
			return &staleness{suite, want, got}
		}
	}
	return nil
}

// TestUnprovenArchitectures asks for architectures whose indices do not match
// the signed Release. If it fails, images are made of packages that nobody
// vouches for, or an index is published that lacks architectures.
func TestUnprovenArchitectures(t *testing.T) {
	testenv.E2E(t)
	m := must(t, all.mirror)
	unproven := map[string]*staleness{}
	for _, arch := range others {
		s := m.stale(t, arch)
		if s == nil {
			t.Logf("%s: the archive proves it now", arch)
			continue
		}
		t.Logf("%s: index of %s is %.12s, the Release lists %.12s", arch, s.suite, s.got, s.want)
		unproven[arch] = s
	}
	dir := t.TempDir()
	args := append([]string{"build", "static", "--json", "--cache", filepath.Join(all.cache, "cache"), "--lock", "lock.json"}, m.args()...)
	for arch, s := range unproven {
		o := (&run{dir: dir, args: append(args, "--arch", arch)}).start().wait()
		if o.code != 1 {
			t.Errorf("build --arch %s: exit code %d, want 1", arch, o.code)
		}
		for _, part := range []string{s.suite, "main/binary-" + arch + "/Packages.xz", s.want, s.got} {
			if !strings.Contains(o.stderr, part) {
				t.Errorf("build --arch %s: the error does not name %s:\n%s", arch, part, o.stderr)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "dist")); err == nil {
			t.Errorf("build --arch %s wrote an image", arch)
		}
	}
	o := (&run{dir: dir, args: append(args, "--arch", "all", "--keep-going")}).start().wait()
	want := 3
	if len(unproven) == 0 {
		want = 0
	}
	if o.code != want {
		t.Fatalf("build --arch all --keep-going: exit code %d, want %d\n%s", o.code, want, o.stderr)
	}
	l, err := layout.Open(filepath.Join(dir, "dist", "static-debian13"))
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	for _, v := range spec.Variants() {
		if len(unproven) == 0 {
			tags = append(tags, v)
		}
		for _, arch := range []string{"amd64", "arm64", "armhf", "ppc64el", "riscv64", "s390x"} {
			if unproven[arch] == nil {
				tags = append(tags, v+"-"+platforms()[arch].goarch)
			}
		}
	}
	got := l.Tags()
	slices.Sort(got)
	slices.Sort(tags)
	if !slices.Equal(got, tags) {
		t.Errorf("the layout has the tags %v, want %v", got, tags)
	}
	for arch := range unproven {
		if !strings.Contains(o.stderr, arch) {
			t.Errorf("the error does not name %s:\n%s", arch, o.stderr)
		}
	}
}

// TestOtherArchitectures builds the images for the architectures that the
// archive reached here does not prove, and runs them under emulation.
//
// It proves nothing of where the packages come from: they are those of the
// archive's unverified indices, put into an archive that the test signs with a
// key of its own. What it shows is that the images of these architectures run.
func TestOtherArchitectures(t *testing.T) {
	testenv.E2E(t)
	for _, arch := range others {
		runs(t, arch)
	}
	began := time.Now()
	repo := resigned(t)
	t.Logf("signed an archive of our own over Debian's packages in %.1f s", time.Since(began).Seconds())
	began = time.Now()
	dist := filepath.Join(all.dir, "other")
	made := buildFrom(t, repo, dist)
	t.Logf("built for %s in %.1f s", strings.Join(others, ", "), time.Since(began).Seconds())
	for _, arch := range made {
		t.Run(arch, func(t *testing.T) {
			began := time.Now()
			bin := compile(t, arch)
			t.Logf("compiled in %.1f s", time.Since(began).Seconds())
			tryAll(t, dist, "debian13", arch, bin, []string{"static", "cc"})
		})
	}
}

// resigned makes an archive of the packages that the images need.
func resigned(t *testing.T) *archivetest.Repo {
	m := must(t, all.mirror)
	l, err := lock.Read(must(t, all.images).lock)
	if err != nil {
		t.Fatal(err)
	}
	needed := l.Versions("debian13", "arm64") // the same ones, by name
	repo := archivetest.New(t, archivetest.Options{})
	seen := map[string]bool{}
	for _, suite := range suites {
		repo.Add(suite)
		for _, arch := range others {
			for _, p := range m.paragraphs(t, suite, arch, needed) {
				id := p.Get("Package") + " " + p.Get("Version") + " " + p.Get("Architecture")
				if seen[id] {
					continue
				}
				seen[id] = true
				data := m.file(t, suiteRoot(suite)+p.Get("Filename"))
				sum := sha256.Sum256(data)
				if data == nil || hex.EncodeToString(sum[:]) != p.Get("SHA256") {
					t.Logf("%s of %s: the archive no longer has it", id, suite)
					continue
				}
				file := filepath.Join(m.dir, filepath.FromSlash(suiteRoot(suite)+p.Get("Filename")))
				repo.AddFile(suite, file, text(p))
			}
		}
	}
	return repo
}

// paragraphs returns the entries of some packages in an index, which nobody
// has verified.
func (m *mirror) paragraphs(t *testing.T, suite, arch string, needed map[string]string) []deb822.Paragraph {
	t.Helper()
	path := suiteRoot(suite) + "dists/" + suite + "/main/binary-" + arch + "/Packages.xz"
	z, err := xz.NewReader(t.Context(), bytes.NewReader(m.file(t, path)), xz.Options{})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var out []deb822.Paragraph
	for part := range bytes.SplitSeq(data, []byte("\n\n")) {
		first, _, _ := bytes.Cut(part, []byte("\n"))
		if _, ok := needed[strings.TrimPrefix(string(first), "Package: ")]; !ok {
			continue
		}
		p, err := deb822.Parse(part)
		if err != nil || len(p) != 1 {
			t.Fatalf("%s: %s: %v", path, first, err)
		}
		out = append(out, p[0])
	}
	return out
}

// text writes a paragraph again.
func text(p deb822.Paragraph) string {
	var b strings.Builder
	for _, f := range p {
		b.WriteString(f.Name + ": " + f.Value + "\n")
	}
	return b.String()
}

// buildFrom builds static, base and cc for the other architectures with the
// program's own library, which trusts the test's key. The program itself has
// no setting for that. It returns the architectures that were made.
func buildFrom(t *testing.T, repo *archivetest.Repo, dist string) []string {
	t.Helper()
	cat, err := build.LoadCatalog(catalog.Files)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := fetch.OpenCache(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	compression, err := layer.ParseCompression("gzip")
	if err != nil {
		t.Fatal(err)
	}
	b := build.New(build.Options{
		Catalog: cat, Lock: &lock.Lock{Cells: map[lock.Key]*lock.Cell{}}, Cache: cache, Compression: compression,
		Fetch: &fetch.Client{Cache: cache, HTTP: http.DefaultClient},
		Address: func() (archive.Address, error) {
			return archive.Address{Main: []string{repo.URL()}, Security: []string{repo.SecurityURL()}}, nil
		},
		Keyring: func(string) (*archive.Keyring, error) { return archive.ParseKeyring(repo.Keyring()) },
	})
	var keys []lock.Key
	for _, name := range names {
		for _, arch := range others {
			keys = append(keys, lock.Key{Image: name, Distro: "debian13", Arch: arch})
		}
	}
	ctx := t.Context()
	_, failed := b.Resolve(ctx, keys, build.Missing)
	good := slices.DeleteFunc(keys, func(k lock.Key) bool {
		return slices.ContainsFunc(failed, func(e *build.CellError) bool { return e.Key == k })
	})
	made, more := b.Images(ctx, good, nil, spec.Variants())
	archs := slices.Clone(others)
	for _, e := range append(failed, more...) {
		t.Error(e)
		archs = slices.DeleteFunc(archs, func(a string) bool { return a == e.Key.Arch })
	}
	for _, m := range made {
		if err := layout.Write(ctx, filepath.Join(dist, m.Reference()), m.Layout()); err != nil {
			t.Fatal(err)
		}
	}
	return archs
}
