package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"distroless/internal/oci/layout"
	"distroless/internal/testenv"
)

// families are the images that SBOMs are proven on: each kind of image in the
// catalogue, on each distro where its metadata is another.
func families() []struct{ image, tag string } {
	return []struct{ image, tag string }{
		{"static-debian13", "latest-amd64"}, {"static-debian13", "debug-arm64"}, {"static-debian12", "latest-amd64"}, {"static-debian11", "debug-amd64"},
		{"base-nossl-debian13", "nonroot-amd64"}, {"base-debian13", "latest-arm64"}, {"base-debian12", "debug-amd64"}, {"base-debian11", "latest-amd64"},
		{"cc-debian13", "latest-amd64"}, {"cc-debian12", "debug-nonroot-arm64"},
		{"java-base-debian13", "latest-amd64"}, {"java11-debian11", "latest-amd64"}, {"java17-debian12", "latest-amd64"}, {"java21-debian13", "debug-amd64"}, {"java25-debian13", "latest-arm64"},
		{"nodejs12-debian11", "latest-amd64"}, {"nodejs18-debian12", "latest-amd64"}, {"nodejs20-debian13", "debug-amd64"}, {"nodejs22-debian12", "latest-amd64"}, {"nodejs24-debian13", "latest-arm64"},
		{"python3-debian13", "debug-amd64"}, {"python3-debian12", "latest-arm64"}, {"python3-debian11", "latest-amd64"}, {"python2.7-debian11", "latest-amd64"},
	}
}

// scanned is what is read of what syft prints.
type scanned struct {
	Artifacts []struct {
		Name, Version, Type, Purl, FoundBy string
		Locations                          []struct{ Path string }
	}
	Distro struct{ ID, VersionID string }
}

// scan has syft read an image from a place as it names it, "oci-dir:x".
func scan(t *testing.T, source string) scanned {
	t.Helper()
	cmd := exec.Command(must(t, all.syft), "scan", source, "-q", "-o", "syft-json")
	cmd.Env = append(os.Environ(), "SYFT_CHECK_FOR_APP_UPDATE=false", "HOME="+t.TempDir())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.String())
	}
	var s scanned
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// single makes a layout that holds one image of another, whose blobs it shares:
// syft takes no tag, and only a layout in which nothing is to be chosen.
func single(t *testing.T, from, tag string) string {
	t.Helper()
	l, err := layout.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	d, err := l.Tag(tag)
	if err != nil {
		t.Fatal(err)
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{d}})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "image")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "index.json"), string(index))
	put(t, filepath.Join(dir, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)
	if err := os.Symlink(filepath.Join(from, "blobs"), filepath.Join(dir, "blobs")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// listed is an SBOM as a scanner would say it: a line for each Debian package,
// and one for each archive that is not Debian's.
func listed(t *testing.T, doc []byte) (debs, upstream []string) {
	t.Helper()
	var d struct {
		Packages []struct {
			Name, VersionInfo string
			ExternalRefs      []struct{ ReferenceType, ReferenceLocator string }
		}
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Packages {
		for _, r := range p.ExternalRefs {
			line := fmt.Sprintf("%s %s %s", p.Name, p.VersionInfo, r.ReferenceLocator)
			switch {
			case r.ReferenceType != "purl", strings.HasPrefix(r.ReferenceLocator, "pkg:oci/"):
			case strings.HasPrefix(r.ReferenceLocator, "pkg:deb/"):
				debs = append(debs, line)
			default:
				upstream = append(upstream, line)
			}
		}
	}
	slices.Sort(debs)
	return debs, upstream
}

// TestSyft holds SBOMs against what syft reads from the same images: names,
// versions and package URLs of all Debian packages, to the letter, and what is
// not Debian's. If it fails, a scanner that reads the image and one that reads
// its SBOM look for the vulnerabilities of different packages.
func TestSyft(t *testing.T) {
	testenv.E2E(t)
	rep := must(t, all.catalogue)
	must(t, all.syft)
	var mu sync.Mutex
	excused := map[string]bool{}
	t.Run("images", func(t *testing.T) {
		for _, f := range families() {
			t.Run(f.image+":"+f.tag, func(t *testing.T) {
				t.Parallel()
				s := scan(t, "oci-dir:"+single(t, filepath.Join(rep.dir, "dist", f.image), f.tag))
				doc := ours(t, rep, f.image+":"+f.tag, "spdx")
				for _, e := range compareScan(t, f.image, s, doc) {
					mu.Lock()
					excused[e] = true
					mu.Unlock()
				}
			})
		}
	})
	for _, e := range besides() {
		if !excused[e.what] {
			t.Errorf("syft found no %s anywhere: an exception that nothing needs", e.what)
		}
	}
}

// ours is the program's own SBOM of an image of the catalogue.
func ours(t *testing.T, rep *report, ref, format string) []byte {
	t.Helper()
	o := (&run{dir: rep.dir, args: []string{"sbom", "dist/" + ref, "--format", format, "--lock", "lock.json"}}).start().wait()
	if o.code != 0 {
		t.Fatalf("sbom %s: exit code %d\n%s", ref, o.code, o.stderr)
	}
	return []byte(o.stdout)
}

// beside is a thing that syft finds in our images beside packages of Debian's,
// by its type and name, and why the SBOM lists it otherwise.
type beside struct{ what, path, why string }

func besides() []beside {
	return []beside{
		{"java-archive jrt-fs", "/usr/lib/jvm/*/lib/jrt-fs.jar", "a part of openjdk-*-jre-headless, whose package is listed and owns the file"},
		{"python argparse", "/usr/lib/python2.7/argparse.egg-info", "a module of Python's library, in libpython2.7-stdlib, which owns the file"},
		{"python wsgiref", "/usr/lib/python2.7/wsgiref.egg-info", "likewise"},
	}
}

// compareScan fails where syft's packages are not those of an SBOM. It returns
// the exceptions that were needed.
func compareScan(t *testing.T, image string, s scanned, doc []byte) (excused []string) {
	t.Helper()
	_, distro, _ := strings.Cut(image[strings.LastIndex(image, "-"):], "-debian")
	if major, _, _ := strings.Cut(s.Distro.VersionID, "."); s.Distro.ID != "debian" || major != distro {
		t.Errorf("syft takes it for %+v, want debian %s", s.Distro, distro)
	}
	// Two ways to write the same URL. syft encodes the colon of an epoch, which
	// stays as it is by the purl specification; and it names the point release
	// that /etc/debian_version says, where os-release, by which ours go and by
	// which vulnerabilities are listed, knows the release only.
	alike := strings.NewReplacer("%3A", ":", "distro=debian-"+s.Distro.VersionID, "distro=debian-"+distro)
	want, upstream := listed(t, doc)
	var got []string
	for _, a := range s.Artifacts {
		line := fmt.Sprintf("%s %s %s", a.Name, a.Version, alike.Replace(a.Purl))
		if a.Type == "deb" {
			got = append(got, line)
			continue
		}
		if i := slices.Index(upstream, line); i >= 0 {
			upstream = slices.Delete(upstream, i, i+1)
			continue
		}
		i := slices.IndexFunc(besides(), func(b beside) bool {
			ok, err := filepath.Match(b.path, a.Locations[0].Path)
			return b.what == a.Type+" "+a.Name && err == nil && ok
		})
		if i < 0 {
			t.Errorf("syft finds beside the SBOM: %s %s, by %s in %v", a.Type, line, a.FoundBy, a.Locations)
			continue
		}
		excused = append(excused, besides()[i].what)
	}
	slices.Sort(got)
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("packages\n%s\nsyft says\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	for _, u := range upstream {
		t.Errorf("syft does not find %s", u)
	}
	return excused
}
