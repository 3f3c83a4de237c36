package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"maps"
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
	"distroless/internal/debian/version"
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

var suites = suitesOf("trixie")

func suitesOf(codename string) []string {
	return []string{codename + "-security", codename + "-updates", codename}
}

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

// TestOtherArchitectures builds images for the architectures that the archive
// reached here does not prove, and runs them under emulation.
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
	repo, keys := resigned(t)
	t.Logf("signed an archive of our own over Debian's packages in %.1f s", time.Since(began).Seconds())
	began = time.Now()
	dist := filepath.Join(all.dir, "other")
	failed := buildFrom(t, repo, keys, dist)
	t.Logf("built %d cells in %.1f s", len(keys), time.Since(began).Seconds())
	for _, arch := range others {
		i := slices.IndexFunc(keys, func(k lock.Key) bool { return k.Arch == arch })
		if i < 0 || failed[arch] {
			continue // an error already
		}
		distro := keys[i].Distro
		t.Run(distro+"/"+arch, func(t *testing.T) {
			began := time.Now()
			bin := compile(t, arch)
			t.Logf("compiled in %.1f s", time.Since(began).Seconds())
			tryAll(t, dist, distro, arch, bin, []string{"static", "cc"})
			for _, name := range further()[arch] {
				t.Run(name, func(t *testing.T) { tryRuntime(t, filepath.Join(dist, name+"-"+distro), arch) })
			}
		})
	}
}

// further are run-times that are run for an architecture besides programs in C.
func further() map[string][]string {
	return map[string][]string{"armhf": {"python3"}, "s390x": {"python3"}, "riscv64": {"java21"}}
}

// tryRuntime runs Python or Java for an architecture under emulation.
func tryRuntime(t *testing.T, layout, arch string) {
	p := platforms()[arch]
	tag := "latest-" + p.goarch
	if strings.HasPrefix(filepath.Base(layout), "python3") {
		want := map[string]string{"armhf": "armv7l 4 little", "s390x": "s390x 8 big"}[arch]
		if out := pythonSays(t, layout, tag); out != want+" True 42 libc.so.6\n" {
			t.Errorf("Python says %q, want %s", out, want)
		}
		return
	}
	if out := langRun(t, layout, tag, mount(helloJar(t), "/job"), "--", "/job/hello.jar"); out != "hello from "+p.goarch+"\n" {
		t.Errorf("Java says %q", out)
	}
}

// resigned makes an archive of the packages that the images need, and lists the
// cells that can be built from it: of the newest release of which the archive
// still has every package of an architecture.
func resigned(t *testing.T) (*archivetest.Repo, []lock.Key) {
	m := must(t, all.mirror)
	repo := archivetest.New(t, archivetest.Options{})
	var keys []lock.Key
	seen := map[string]bool{}
	for _, arch := range others {
		images := append(slices.Clone(names), further()[arch]...)
		for _, release := range []struct{ distro, codename string }{{"debian13", "trixie"}, {"debian12", "bookworm"}} {
			list, missing := m.newest(t, release.codename, arch, neededBy(t, images, release.distro))
			if missing != "" {
				t.Logf("%s %s: the archive no longer has %s", release.distro, arch, missing)
				continue
			}
			for _, suite := range suitesOf(release.codename) {
				if !seen[suite] {
					seen[suite] = true
					repo.Add(suite)
				}
			}
			for _, p := range list {
				if id := p.Get("Filename"); !seen[id] {
					seen[id] = true
					repo.AddFile(p.Get("Suite"), filepath.Join(m.dir, filepath.FromSlash(suiteRoot(p.Get("Suite"))+id)), text(p))
				}
			}
			for _, name := range images {
				keys = append(keys, lock.Key{Image: name, Distro: release.distro, Arch: arch})
			}
			break
		}
		if !slices.ContainsFunc(keys, func(k lock.Key) bool { return k.Arch == arch }) {
			t.Errorf("%s: of no release the archive has all packages", arch)
		}
	}
	return repo, keys
}

// neededBy are the packages of images, by name, as they are for an architecture
// that the archive proves.
func neededBy(t *testing.T, images []string, distro string) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "lock.json")
	args := append([]string{"lock", "--distro", distro, "--arch", "arm64", "--lock", file, "--cache", filepath.Join(all.cache, "cache")}, images...)
	if o := (&run{dir: all.dir, args: append(args, must(t, all.mirror).args()...)}).start().wait(); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	l, err := lock.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return l.Versions(distro, "arm64")
}

// newest returns the newest paragraph of each package in the suites of a
// release, with the suite as a field, and fetches the packages; missing is one
// that is not there.
func (m *mirror) newest(t *testing.T, codename, arch string, needed map[string]string) (list []deb822.Paragraph, missing string) {
	best := map[string]deb822.Paragraph{}
	for _, suite := range suitesOf(codename) {
		for _, p := range m.paragraphs(t, suite, arch, needed) {
			name := p.Get("Package")
			if old := best[name]; old == nil || version.Compare(p.Get("Version"), old.Get("Version")) > 0 {
				best[name] = append(p, deb822.Field{Name: "Suite", Value: suite})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(best)) {
		p := best[name]
		sum := sha256.Sum256(m.file(t, suiteRoot(p.Get("Suite"))+p.Get("Filename")))
		if hex.EncodeToString(sum[:]) != p.Get("SHA256") {
			return nil, name + " " + p.Get("Version")
		}
		list = append(list, p)
	}
	return list, ""
}

// paragraphs returns the entries of some packages in an index, which nobody
// has verified.
func (m *mirror) paragraphs(t *testing.T, suite, arch string, needed map[string]string) []deb822.Paragraph {
	t.Helper()
	path := suiteRoot(suite) + "dists/" + suite + "/main/binary-" + arch + "/Packages.xz"
	packed := m.file(t, path)
	if len(packed) == 0 {
		t.Logf("%s: the archive has no such index: no fixes are made for it any more", path)
		return nil
	}
	z, err := xz.NewReader(t.Context(), bytes.NewReader(packed), xz.Options{})
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

// buildFrom builds cells with the program's own library, which trusts the test's
// key. The program itself has no setting for that. It returns the architectures
// of which something could not be made.
func buildFrom(t *testing.T, repo *archivetest.Repo, keys []lock.Key, dist string) map[string]bool {
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
	ctx := t.Context()
	_, failed := b.Resolve(ctx, keys, build.Missing)
	good := slices.DeleteFunc(slices.Clone(keys), func(k lock.Key) bool {
		return slices.ContainsFunc(failed, func(e *build.CellError) bool { return e.Key == k })
	})
	made, more := b.Images(ctx, good, nil, spec.Variants())
	bad := map[string]bool{}
	for _, e := range append(failed, more...) {
		t.Error(e)
		bad[e.Key.Arch] = true
	}
	for _, m := range made {
		if err := layout.Write(ctx, filepath.Join(dist, m.Reference()), m.Layout()); err != nil {
			t.Fatal(err)
		}
	}
	return bad
}
