package build_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"distroless/catalog"
	"distroless/internal/build"
	"distroless/internal/build/buildtest"
	"distroless/internal/debian/archive"
	"distroless/internal/debian/archivetest"
	"distroless/internal/fetch"
	"distroless/internal/plan/lock"
	"distroless/internal/rootfs"
	"distroless/internal/upstream"
)

// elsewhere is a builder over a test's Debian, and what comes from elsewhere.
type elsewhere struct {
	*build.Builder
	catalog *build.Catalog
	lock    *lock.Lock
	dir     string
	fetch   *fetch.Client
}

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	debian := buildtest.Archive(t)
	cat, err := build.LoadCatalog(catalog.Files)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := fetch.OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e := &elsewhere{catalog: cat, lock: &lock.Lock{Cells: map[lock.Key]*lock.Cell{}}, dir: t.TempDir(), fetch: &fetch.Client{Cache: cache}}
	e.Builder = build.New(build.Options{
		Catalog: cat, Lock: e.lock, Cache: cache, Fetch: e.fetch,
		Keyring: func(string) (*archive.Keyring, error) { return archive.ParseKeyring(debian.Keyring()) },
		Address: func() (archive.Address, error) {
			return archive.Address{Main: []string{debian.URL()}, Security: []string{debian.SecurityURL()}}, nil
		},
		Npm: func() (*upstream.NpmConfig, error) {
			return upstream.ReadNpmConfig(os.LookupEnv, []upstream.NpmFile{{FS: os.DirFS(e.dir), Path: ".npmrc"}}, nil)
		},
	})
	return e
}

// write puts files beside each other and adds the definition to the catalogue.
func (e *elsewhere) write(t *testing.T, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(e.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	name, err := e.catalog.Add(filepath.Join(e.dir, "image.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// make resolves and builds an image for amd64.
func (e *elsewhere) make(name string) (*build.Made, *lock.Cell, error) {
	key := lock.Key{Image: name, Distro: "debian13", Arch: "amd64"}
	if _, failed := e.Resolve(context.Background(), []lock.Key{key}, build.Missing); len(failed) > 0 {
		return nil, nil, failed[0]
	}
	made, failed := e.Images(context.Background(), []lock.Key{key}, nil, []string{"latest"})
	if len(failed) > 0 {
		return nil, nil, failed[0]
	}
	return made[0], e.lock.Cells[key], nil
}

// paths lists the files of an image's top layer.
func paths(t *testing.T, m *build.Made) map[string]string {
	t.Helper()
	img := m.Images["latest"]["amd64"]
	r, err := m.Layout().Blobs(img.Layers[len(img.Layers)-1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if err != nil {
			return out
		}
		if h.Typeflag == tar.TypeReg {
			var b bytes.Buffer
			b.ReadFrom(tr)
			out["/"+h.Name] = fmt.Sprintf("%04o %s", h.Mode, strings.TrimSpace(b.String()))
		}
	}
}

func tool(version string) archivetest.Package {
	return archivetest.Package{Name: "corp-tool", Version: version, Arch: "amd64", Depends: "netbase",
		Files: []archivetest.File{archivetest.Text("usr/share/corp-tool/version", version+"\n")}}
}

// A team's own repository, with its own key and a password, must serve packages
// beside Debian's; without the password, or signed by another key, nothing of it
// may be used.
func TestThirdPartyRepository(t *testing.T) {
	e := newElsewhere(t)
	corp := archivetest.New(t, archivetest.Options{})
	corp.Add("stable", tool("1.5"))
	inner, err := url.Parse(corp.URL())
	if err != nil {
		t.Fatal(err)
	}
	guarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "team" || password != "secret" {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		resp, err := http.Get("http://" + inner.Host + r.URL.EscapedPath())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		var b bytes.Buffer
		b.ReadFrom(resp.Body)
		w.Write(b.Bytes())
	}))
	defer guarded.Close()
	image := fmt.Sprintf(`name: corp
from: static
packages: [corp-tool]
archives:
  - {name: corp, urls: [%s/debian], suite: stable, key: corp.asc}
distros: {debian13: {}}
`, guarded.URL)
	name := e.write(t, map[string]string{"image.yaml": image, "corp.asc": string(corp.Keyring())})
	if _, _, err := e.make(name); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("without a password: %v, want an error with 401", err)
	}
	// Without "http://" a password is for https alone: apt_auth.conf(5).
	const machine = "machine http://127.0.0.1 login team password secret\n"
	read := func(files fstest.MapFS) *archive.Auth {
		auth, err := archive.ReadAuth(files)
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
	auth := read(nil)
	auth.AddNetrc([]byte(machine))
	f := newElsewhere(t)
	f.fetch.Credentials = auth.Lookup
	f.write(t, map[string]string{"image.yaml": image, "corp.asc": string(archivetest.New(t, archivetest.Options{}).Keyring())})
	if _, _, err := f.make(name); err == nil || !strings.Contains(err.Error(), "archive corp") {
		t.Errorf("with another key: %v, want an error that names the archive", err)
	}
	for where, auth := range map[string]*archive.Auth{"~/.netrc": auth, "auth.conf": read(fstest.MapFS{"etc/apt/auth.conf.d/corp.conf": {Data: []byte(machine)}})} {
		g := newElsewhere(t)
		g.fetch.Credentials = auth.Lookup
		g.write(t, map[string]string{"image.yaml": image, "corp.asc": string(corp.Keyring())})
		m, cell, err := g.make(name)
		if err != nil {
			t.Fatalf("with a password in %s: %v", where, err)
		}
		if got := paths(t, m)["/usr/share/corp-tool/version"]; got != "0644 1.5" {
			t.Errorf("the image has %q, want the repository's file", got)
		}
		if len(cell.Packages) != 1 || cell.Packages[0].Suite != "corp" || cell.Archive[len(cell.Archive)-1].Suite != "corp" {
			t.Errorf("the lock says %+v of %+v, want the package and the state of archive corp", cell.Packages, cell.Archive)
		}
		if bytes.Contains(g.lock.Bytes(), []byte(guarded.URL)) {
			t.Error("the lock holds the repository's address: it belongs to the definition")
		}
	}
}

// A flat repository, as vendors publish with a single folder, must work too.
func TestFlatRepository(t *testing.T) {
	e := newElsewhere(t)
	corp := archivetest.New(t, archivetest.Options{})
	corp.Add("./", tool("2.0"))
	name := e.write(t, map[string]string{"corp.asc": string(corp.Keyring()), "image.yaml": fmt.Sprintf(`name: flat
from: static
packages: [corp-tool]
archives:
  - {name: corp, urls: [%q], suite: ./, key: corp.asc}
distros: {debian13: {}}
`, corp.FlatURL())})
	m, _, err := e.make(name)
	if err != nil {
		t.Fatal(err)
	}
	if got := paths(t, m)["/usr/share/corp-tool/version"]; got != "0644 2.0" {
		t.Errorf("the image has %q, want the repository's file", got)
	}
}

// registry is an npm registry with one package.
type registry struct {
	tarball   []byte
	integrity string
	versions  []string
}

func newRegistry(t *testing.T, versions ...string) (*registry, *httptest.Server) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	tw := tar.NewWriter(z)
	for _, f := range []struct {
		name, text string
		mode       int64
	}{{"package/bin/tool", "#!/bin/true\n", 0o755}, {"package/LICENSE", "MIT\n", 0o644}, {"package/huge", "not wanted\n", 0o644}} {
		if err := tw.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text))}); err != nil {
			t.Fatal(err)
		}
		tw.Write([]byte(f.text))
	}
	tw.Close()
	z.Close()
	sum := sha512.Sum512(b.Bytes())
	r := &registry{b.Bytes(), "sha512-" + base64.StdEncoding.EncodeToString(sum[:]), versions}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return r, s
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if strings.HasSuffix(req.URL.Path, ".tgz") {
		w.Write(r.tarball)
		return
	}
	doc := map[string]any{}
	for _, v := range r.versions {
		doc[v] = map[string]any{"dist": map[string]string{
			"tarball": "https://registry.example.org/tool/-/tool-" + v + ".tgz", "integrity": r.integrity}}
	}
	json.NewEncoder(w).Encode(map[string]any{"versions": doc})
}

const toolImage = `name: tool
from: static
upstream:
  - name: tool
    npm: tool
    version: "22"
    paths: {package/bin/tool: /opt/tool/tool, package/LICENSE: /usr/share/doc/tool/copyright}
    purl: pkg:generic/tool@{version}
allow:
  - {check: interpreter, path: /opt/tool/tool, reason: the test does not run it}
distros: {debian13: {}}
`

// An npm package comes from the registry of the machine's own configuration, in
// the newest version of the line that the definition names; only the files that
// it maps are kept, and a build later does not look for a newer one.
func TestNpmPackage(t *testing.T) {
	r, s := newRegistry(t, "20.1.0", "22.9.1", "22.10.0", "22.11.0-rc.1", "24.0.0")
	e := newElsewhere(t)
	name := e.write(t, map[string]string{"image.yaml": toolImage, ".npmrc": "registry=" + s.URL + "/\n"})
	m, cell, err := e.make(name)
	if err != nil {
		t.Fatal(err)
	}
	got := paths(t, m)
	const list = rootfs.GeneratedDir + "tool"
	if !strings.Contains(got[list], "Generator: tool\nFiles:\n /opt/tool/tool\n /usr/share/doc/tool/copyright") {
		t.Errorf("the list of what no package ships is %q", got[list])
	}
	delete(got, list)
	if got["/opt/tool/tool"] != "0755 #!/bin/true" || got["/usr/share/doc/tool/copyright"] != "0644 MIT" || len(got) != 2 {
		t.Errorf("the layer has %q, want the two files that are mapped", got)
	}
	u := cell.Upstream[0]
	if u.Version != "22.10.0" || u.Purl != "pkg:generic/tool@22.10.0" || u.Path != "tool/-/tool-22.10.0.tgz" {
		t.Errorf("locked %+v, want 22.10.0", u)
	}
	r.versions = append(r.versions, "22.12.0")
	if _, cell, err = e.make(name); err != nil || cell.Upstream[0].Version != "22.10.0" {
		t.Errorf("built again: %+v, %v, want what is locked", cell.Upstream, err)
	}
}

// A registry that serves other bytes than its own digest says must not get them
// into an image.
func TestNpmPackageAltered(t *testing.T) {
	r, s := newRegistry(t, "22.0.0")
	r.tarball = append(r.tarball, 0)
	e := newElsewhere(t)
	name := e.write(t, map[string]string{"image.yaml": toolImage, ".npmrc": "registry=" + s.URL + "\n"})
	if _, _, err := e.make(name); err == nil || !strings.Contains(err.Error(), "sha512") {
		t.Errorf("altered tarball: %v, want an error with both digests", err)
	}
}

// A machine without npm and without a registry in the definition gets told how
// to name one.
func TestNpmNoRegistry(t *testing.T) {
	t.Setenv("NPM_CONFIG_REGISTRY", "")
	t.Setenv("npm_config_registry", "")
	e := newElsewhere(t)
	name := e.write(t, map[string]string{"image.yaml": toolImage})
	if _, _, err := e.make(name); err == nil || !strings.Contains(err.Error(), "set one with NPM_CONFIG_REGISTRY") {
		t.Errorf("no registry: %v, want the mend", err)
	}
	e.write(t, map[string]string{"tool20.yaml": "name: tool20\nfrom: static\ndistros: {debian13: {}}\n"})
	if _, err := e.catalog.Add(filepath.Join(e.dir, "tool20.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.make(name); err == nil || !strings.Contains(err.Error(), "; or build tool20, which needs none") {
		t.Errorf("no registry: %v, want the image that needs none", err)
	}
}

// tarball is a .tar.gz with one file, some/tool.
func tarball(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	tw := tar.NewWriter(z)
	if err := tw.WriteHeader(&tar.Header{Name: "some/tool", Mode: 0o755, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	tw.Write([]byte(text))
	tw.Close()
	z.Close()
	return b.Bytes()
}

// A tarball by address is what the definition's digest says, or else what it was
// when it was locked: whoever has the server can put nothing else into an image.
func TestTarball(t *testing.T) {
	body := tarball(t, "first")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/tool-1.2.tar.gz" {
			http.NotFound(w, r)
			return
		}
		w.Write(body)
	}))
	defer s.Close()
	definition := func(digest string) map[string]string {
		return map[string]string{"image.yaml": fmt.Sprintf(`name: tool
from: static
version: tool
upstream:
  - name: tool
    url: %s/tool-{version}.tar.gz
    version: "1.2"
    %s
    paths: {some/tool: /opt/tool}
    purl: pkg:generic/tool@{version}
distros: {debian13: {}}
`, s.URL, digest)}
	}
	sum := sha256.Sum256(body)
	right := hex.EncodeToString(sum[:])
	for _, digest := range []string{"sha256: " + right, ""} {
		e := newElsewhere(t)
		name := e.write(t, definition(digest))
		m, cell, err := e.make(name)
		if err != nil {
			t.Fatalf("%q: %v", digest, err)
		}
		if got := paths(t, m); got["/opt/tool"] != "0755 first" || len(got) != 2 || got["/var/lib/distroless/generated/tool"] == "" {
			t.Errorf("%q: the layer has %q, want the one file and the list that names it", digest, got)
		}
		if u := cell.Upstream[0]; u.SHA256 != right || u.Size != int64(len(body)) || u.Purl != "pkg:generic/tool@1.2" {
			t.Errorf("%q: locked %+v", digest, u)
		}
	}
	wrong := newElsewhere(t)
	name := wrong.write(t, definition("sha256: "+strings.Repeat("0", 64)))
	if _, _, err := wrong.make(name); err == nil || !strings.Contains(err.Error(), right) || !strings.Contains(err.Error(), "the definition says 000") {
		t.Errorf("another digest in the definition: %v, want both digests", err)
	}
	locked := newElsewhere(t)
	name = locked.write(t, definition(""))
	key := lock.Key{Image: name, Distro: "debian13", Arch: "amd64"}
	if _, failed := locked.Resolve(t.Context(), []lock.Key{key}, build.Missing); len(failed) > 0 {
		t.Fatal(failed[0])
	}
	body = tarball(t, "other")
	locked.dropCache(t)
	if _, failed := locked.Images(t.Context(), []lock.Key{key}, nil, []string{"latest"}); len(failed) != 1 || !errors.Is(failed[0], fetch.ErrChecksum) {
		t.Errorf("a server that has changed: %v, want a checksum mismatch", failed)
	}
}

// dropCache removes what has been downloaded.
func (e *elsewhere) dropCache(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(e.Cache.Dir(), "sha256")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(e.Cache.Dir(), "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// The bytes of a large file that is not Debian's are not kept in memory once its
// level is written; a level above that copies it must get them all the same.
func TestLargeTarball(t *testing.T) {
	big := strings.Repeat("large ", 2<<20)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(tarball(t, big)) }))
	defer s.Close()
	corp := archivetest.New(t, archivetest.Options{})
	corp.Add("stable", archivetest.Package{Name: "copier", Arch: "amd64", Scripts: map[string]string{"postinst": "#!/bin/sh\nset -e\ncp /opt/tool /opt/copy\n"}})
	e := newElsewhere(t)
	e.write(t, map[string]string{"image.yaml": fmt.Sprintf(`name: tool
from: static
upstream:
  - {name: tool, url: "%s/tool.tar", version: "1", paths: {some/tool: /opt/tool}, purl: pkg:generic/tool@1}
distros: {debian13: {}}
`, s.URL)})
	name := e.write(t, map[string]string{"corp.asc": string(corp.Keyring()), "image.yaml": fmt.Sprintf(`name: copy
from: tool
packages: [copier]
archives: [{name: corp, urls: [%q], suite: stable, key: corp.asc}]
distros: {debian13: {}}
`, corp.URL())})
	e.Builder.Jobs = 1
	m, cell, err := e.make(name)
	if err != nil {
		t.Fatal(err)
	}
	if got := paths(t, m)["/opt/copy"]; got != "0755 "+strings.TrimSpace(big) {
		t.Errorf("the copy has %d bytes, want %d; %d packages", len(got), len(big), len(cell.Packages))
	}
}
