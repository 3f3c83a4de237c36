package build

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"distroless/catalog"
	"distroless/internal/build/buildtest"
	"distroless/internal/debian/archive"
	"distroless/internal/debian/archivetest"
	"distroless/internal/fetch"
	"distroless/internal/oci/layout"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/spec"
)

// bench is an archive with a catalogue and a lock, on which builders work.
type bench struct {
	t    testing.TB
	repo *archivetest.Repo
	cat  *Catalog
	lock *lock.Lock
}

func newBench(t testing.TB) *bench {
	t.Helper()
	cat, err := LoadCatalog(catalog.Files)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t: t, repo: buildtest.Archive(t), cat: cat, lock: &lock.Lock{Cells: map[lock.Key]*lock.Cell{}}}
}

// builder makes a Builder on a cache folder.
func (b *bench) builder(cache string, change func(*Options)) *Builder {
	b.t.Helper()
	c, err := fetch.OpenCache(cache)
	if err != nil {
		b.t.Fatal(err)
	}
	o := Options{
		Catalog: b.cat, Lock: b.lock, Cache: c, Fetch: &fetch.Client{Cache: c},
		Address: func() (archive.Address, error) {
			return archive.Address{Main: []string{b.repo.URL()}, Security: []string{b.repo.SecurityURL()}}, nil
		},
		Keyring: func(string) (*archive.Keyring, error) { return archive.ParseKeyring(b.repo.Keyring()) },
	}
	if change != nil {
		change(&o)
	}
	return New(o)
}

// define adds a definition with its files and returns its name.
func (b *bench) define(files map[string]string) string {
	b.t.Helper()
	dir := b.t.TempDir()
	for name, text := range files {
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, "*") {
			name, mode = strings.TrimSuffix(name, "*"), 0o755
		}
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), mode)); err != nil {
			b.t.Fatal(err)
		}
	}
	name, err := b.cat.Add(filepath.Join(dir, "image.yaml"))
	if err != nil {
		b.t.Fatal(err)
	}
	return name
}

func keys(arch string, images ...string) []lock.Key {
	var out []lock.Key
	for _, i := range images {
		out = append(out, lock.Key{Image: i, Distro: "debian13", Arch: arch})
	}
	return out
}

// build resolves and makes images.
func build(bd *Builder, ctx context.Context, keys []lock.Key) ([]*Made, error) {
	_, failed := bd.Resolve(ctx, keys, Missing)
	if len(failed) > 0 {
		return nil, failed[0]
	}
	made, failed := bd.Images(ctx, keys, nil, spec.Variants())
	if len(failed) > 0 {
		return nil, failed[0]
	}
	return made, nil
}

func (b *bench) build(cache string, change func(*Options), images ...string) []*Made {
	b.t.Helper()
	made, err := build(b.builder(cache, change), context.Background(), keys("amd64", images...))
	if err != nil {
		b.t.Fatal(err)
	}
	return made
}

// digests are those of every variant of every image.
func digests(made []*Made) map[string]string {
	m := map[string]string{}
	for _, i := range made {
		for v, idx := range i.Indices {
			m[i.Reference()+":"+v] = idx.Digest
		}
	}
	return m
}

// files reads an image's files as "mode text" by path, through a layout.
func files(t testing.TB, m *Made, tag string) map[string]string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image")
	if err := layout.Write(t.Context(), dir, m.Layout()); err != nil {
		t.Fatal(err)
	}
	l, err := layout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	d, err := l.Tag(tag)
	if err != nil {
		t.Fatal(err)
	}
	images, err := l.Images(d)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, d := range images[0].Manifest.Layers {
		if err := images[0].Walk(d, func(h *tar.Header, r io.Reader) error {
			data, err := io.ReadAll(r)
			out["/"+h.Name] = fmt.Sprintf("%04o %s", h.Mode, data)
			if len(h.PAXRecords) > 0 {
				out["/"+h.Name] += fmt.Sprintf(" %q", h.PAXRecords["SCHILY.xattr.security.capability"])
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// remove takes a part of the cache away.
func remove(t testing.TB, parts ...string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(parts...)); err != nil {
		t.Fatal(err)
	}
}

// The promise of the whole program: the same lock gives the same digests, from
// a cold cache or a warm one, with what is remembered there in whole, in part
// or not at all, and for any number of jobs.
func TestSameDigests(t *testing.T) {
	b := newBench(t)
	b.repo.Add("trixie", archivetest.Package{Name: "pinger", Files: []archivetest.File{
		{Path: "usr/bin/pinger", Data: "machine code", Mode: 0o755, PAX: map[string]string{"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\xff\xfe"}},
	}})
	app := b.define(map[string]string{"image.yaml": "name: app\nfrom: base\npackages: [pinger]\ndistros: {debian13: {}}\n"})
	cache := t.TempDir()
	want := digests(b.build(cache, nil, "static", app))
	if len(want) != 8 {
		t.Fatal(want)
	}
	for name, prepare := range map[string]func() (string, func(*Options)){
		"warm":      func() (string, func(*Options)) { return cache, nil },
		"one job":   func() (string, func(*Options)) { return t.TempDir(), func(o *Options) { o.Jobs = 1 } },
		"many jobs": func() (string, func(*Options)) { return t.TempDir(), func(o *Options) { o.Jobs = 16 } },
		"no plans":  func() (string, func(*Options)) { remove(t, cache, "memo", "plan"); return cache, nil },
		"no layers": func() (string, func(*Options)) {
			remove(t, cache, "memo", "plan")
			remove(t, cache, "memo", "layer")
			return cache, nil
		},
		"no listings": func() (string, func(*Options)) {
			remove(t, cache, "memo", "plan")
			remove(t, cache, "memo", "listing")
			return cache, nil
		},
		"no memory":    func() (string, func(*Options)) { remove(t, cache, "memo"); return cache, nil },
		"no blobs":     func() (string, func(*Options)) { remove(t, cache, "sha256"); return cache, nil },
		"other images": func() (string, func(*Options)) { c := t.TempDir(); b.build(c, nil, "cc"); return c, nil },
	} {
		dir, change := prepare()
		if got := digests(b.build(dir, change, app, "static")); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if got := files(t, b.build(cache, nil, app)[0], "latest")["/usr/bin/pinger"]; got != `0755 machine code "\x01\x00\x00\x02\xff\xfe"` {
		t.Errorf("the capability is lost: %s", got)
	}
}

// A disk that forgets or lies costs time, never another image.
func TestDamagedCache(t *testing.T) {
	b := newBench(t)
	cache := t.TempDir()
	made := b.build(cache, nil, "static")
	want := digests(made)
	damage := func(folder string, change func([]byte) []byte) {
		if err := filepath.WalkDir(filepath.Join(cache, folder), func(p string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			return os.WriteFile(p, change(data), 0o644)
		}); err != nil {
			t.Fatal(err)
		}
	}
	flip := func(d []byte) []byte { d[len(d)/2] ^= 1; return d }
	for what, change := range map[string]func([]byte) []byte{"flipped": flip, "cut": func(d []byte) []byte { return d[:len(d)/2] }, "empty": func([]byte) []byte { return nil }} {
		damage("memo", change)
		if got := digests(b.build(cache, nil, "static")); !maps.Equal(got, want) {
			t.Errorf("memo %s: another image", what)
		}
	}

	// Layers and packages: what is damaged is never used. A layer that is found
	// when it is written out costs a second run.
	damage("sha256", flip)
	remove(t, cache, "memo", "plan")
	ok := false
	for range 3 {
		made, err := build(b.builder(cache, nil), t.Context(), keys("amd64", "static"))
		if err == nil {
			err = layout.Write(t.Context(), filepath.Join(t.TempDir(), "image"), made[0].Layout())
		}
		if err == nil {
			if ok = true; !maps.Equal(digests(made), want) {
				t.Error("another image from a damaged cache")
			}
			break
		}
	}
	if !ok {
		t.Error("a damaged cache is not healed by running again")
	}
}

// A run that was killed leaves whatever it was writing; the next one must not
// take it for something.
func TestLeftovers(t *testing.T) {
	b := newBench(t)
	cache := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	b.repo.Fault("/pool/main/t/", 0, func(_ http.ResponseWriter, _ *http.Request, body []byte) ([]byte, bool) {
		cancel()
		return body[:len(body)/2], false
	})
	if _, err := build(b.builder(cache, nil), ctx, keys("amd64", "static")); err == nil {
		t.Fatal("built from half a package")
	}
	b.repo.Heal()
	for _, dir := range []string{"memo/plan/ab", "memo/listing/cd", "tmp"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(cache, dir), 0o755), os.WriteFile(filepath.Join(cache, dir, ".tmp-123"), []byte("half"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := digests(b.build(cache, nil, "static")), digests(b.build(t.TempDir(), nil, "static")); !maps.Equal(got, want) {
		t.Error("another image after a killed run")
	}
}

// Two processes may share a cache, and a builder's parts each other's work.
func TestSharedCache(t *testing.T) {
	b := newBench(t)
	want := digests(b.build(t.TempDir(), nil, "static", "base"))
	cache := t.TempDir()
	var wg sync.WaitGroup
	for range 3 {
		bd := b.builder(cache, nil)
		wg.Go(func() {
			made, err := build(bd, context.Background(), keys("amd64", "static", "base"))
			if err != nil {
				t.Error(err)
			} else if !maps.Equal(digests(made), want) {
				t.Error("another image from a shared cache")
			}
		})
	}
	wg.Wait()
}

// Bytes that are not those of the lock are never used, whoever serves them.
func TestWrongBytes(t *testing.T) {
	b := newBench(t)
	bd := b.builder(t.TempDir(), nil)
	if _, failed := bd.Resolve(t.Context(), keys("amd64", "static"), Missing); len(failed) > 0 {
		t.Fatal(failed[0])
	}
	b.repo.Fault("/netbase_6.5_all.deb", 0, archivetest.Corrupt())
	_, failed := bd.Images(t.Context(), keys("amd64", "static"), nil, []string{"latest"})
	if len(failed) != 1 || !errors.Is(failed[0], fetch.ErrChecksum) || !strings.Contains(failed[0].Error(), "netbase_6.5_all.deb") || strings.Contains(failed[0].Error(), "no longer has this version") {
		t.Errorf("failed: %v", failed)
	}
	b.repo.Heal()
	b.repo.Fault("/netbase_6.5_all.deb", 0, archivetest.Status(404))
	_, failed = b.builder(t.TempDir(), nil).Images(t.Context(), keys("amd64", "static"), nil, []string{"latest"})
	if len(failed) != 1 || !strings.Contains(failed[0].Error(), `the archive no longer has this version: run "distroless lock"`) {
		t.Errorf("failed: %v", failed)
	}
}

// Images that stand on each other share layers: pulled once, stored once.
func TestSharedLevels(t *testing.T) {
	b := newBench(t)
	made := b.build(t.TempDir(), nil, "static", "base", "cc")
	var below []string
	for _, m := range made {
		img := m.Images["latest"]["amd64"]
		var layers []string
		for _, l := range img.Layers {
			layers = append(layers, l.Digest)
		}
		if len(layers) <= len(below) || !slices.Equal(layers[:len(below)], below) {
			t.Errorf("%s: layers %v do not begin with %v", m.Image, layers, below)
		}
		below = layers
	}
	for _, deb := range []string{"netbase_6.5_all.deb", "libc6_2.41-12_amd64.deb"} {
		if n := b.repo.Requests(deb); n != 1 {
			t.Errorf("%s was fetched %d times", deb, n)
		}
	}
	// One package changes: one layer of its own and those above do.
	b.repo.Add("trixie-security", archivetest.Package{Name: "libssl3t64", Source: "openssl", Version: "3.5.9-1", Depends: "libc6"})
	if _, failed := b.builder(t.TempDir(), nil).Resolve(t.Context(), keys("amd64", "base", "cc"), Newest); len(failed) > 0 {
		t.Fatal(failed[0])
	}
	again := b.build(t.TempDir(), nil, "static", "base", "cc")
	old, now := made[2].Images["latest"]["amd64"], again[2].Images["latest"]["amd64"]
	changed := 0
	for i := range now.Layers {
		if now.Layers[i].Digest != old.Layers[i].Digest {
			changed++
		}
	}
	if changed != 1 || len(now.Layers) != len(old.Layers) {
		t.Errorf("%d of %d layers changed with one package, %d before", changed, len(now.Layers), len(old.Layers))
	}
}

// Files beside a definition come in with their executable bits, from a file, a
// folder or the definition's own folder.
func TestContentsFromFolders(t *testing.T) {
	b := newBench(t)
	app := b.define(map[string]string{
		"image.yaml": `
name: app
distros: {debian13: {}}
contents:
  - {path: /one, source: app/run}
  - {path: /app, source: ./app}
  - {path: /all, source: .}
  - {path: /fixed, source: app, mode: "0440"}
  - {path: /arm, text: no, archs: [arm64]}
  - {path: /apple, source: apple}
`, "app/run*": "program", "app/data/text": "text", "apple": "pie", ".hidden": "h",
	})
	got := files(t, b.build(t.TempDir(), nil, app)[0], "latest")
	for p, want := range map[string]string{
		"/one": "0755 program", "/app/run": "0755 program", "/app/data/text": "0644 text", "/fixed/run": "0440 program", "/fixed/data/text": "0440 text",
		"/all/app/run": "0755 program", "/all/.hidden": "0644 h", "/all/apple": "0644 pie", "/apple": "0644 pie", "/app/": "0755 ",
	} {
		if got[p] != want {
			t.Errorf("%s: %q, want %q", p, got[p], want)
		}
	}
	for _, p := range []string{"/arm", "/le", "/applele"} {
		if _, ok := got[p]; ok {
			t.Errorf("%s is there", p)
		}
	}
}

// The bytes of a platform's files leave memory once its layers are written: all
// architectures of a catalogue would not fit.
func TestMemoryIsReleased(t *testing.T) {
	b := newBench(t)
	bd := b.builder(t.TempDir(), nil)
	k := keys("amd64", "static", "base")
	if _, failed := bd.Resolve(t.Context(), k, Missing); len(failed) > 0 {
		t.Fatal(failed[0])
	}
	r := bd.newRun()
	if _, err := r.prepare(t.Context(), k, []string{"latest"}); err != nil {
		t.Fatal(err)
	}
	r.releaseAll()
	for deb, c := range r.contents {
		if len(c) > 0 {
			t.Errorf("%d files of %q are still there", len(c), deb)
		}
	}
}
