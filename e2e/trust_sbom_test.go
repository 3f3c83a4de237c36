package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"distroless/internal/testenv"
)

// sbomDocument is what is read of an SPDX document.
type sbomDocument struct {
	Packages []struct {
		Name, VersionInfo, SourceInfo, PackageFileName string
		ExternalRefs                                   []struct{ ReferenceLocator string }
		Checksums                                      []struct{ ChecksumValue string }
	}
	Files []struct {
		FileName  string
		Checksums []struct{ Algorithm, ChecksumValue string }
	}
}

// TestSBOM holds SBOMs against dpkg, which reads the packages of the unpacked
// image from the same metadata, and against sha256sum over its files. If it
// fails, a scanner that trusts the SBOM looks at another image.
func TestSBOM(t *testing.T) {
	testenv.E2E(t)
	rep := must(t, all.images)
	for _, image := range []string{"static-debian12", "static-debian13", "base-debian13", "cc-debian12", "cc-debian13"} {
		for _, variant := range []string{"latest", "debug-nonroot"} {
			t.Run(image+"/"+variant, func(t *testing.T) {
				ref := "dist/" + image + ":" + variant + "-amd64"
				o := (&run{dir: rep.dir, args: []string{"sbom", ref, "--lock", "lock.json"}}).start().wait()
				if o.code != 0 {
					t.Fatalf("sbom: exit code %d\n%s", o.code, o.stderr)
				}
				var doc sbomDocument
				if err := json.Unmarshal([]byte(o.stdout), &doc); err != nil {
					t.Fatal(err)
				}
				root := filepath.Join(t.TempDir(), "image")
				tool(t, rep.dir, "umoci", "unpack", "--rootless=false", "--image", ref, root)
				root = filepath.Join(root, "rootfs")
				comparePackages(t, root, &doc)
				compareFiles(t, root, &doc)
			})
		}
	}
}

func comparePackages(t *testing.T, root string, doc *sbomDocument) {
	t.Helper()
	admin := t.TempDir()
	var status strings.Builder
	dir := filepath.Join(root, "var/lib/dpkg/status.d")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".md5sums") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		name, rest, _ := strings.Cut(string(text), "\n")
		status.WriteString(name + "\nStatus: install ok installed\n" + rest + "\n")
	}
	if err := os.WriteFile(filepath.Join(admin, "status"), []byte(status.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(strings.ReplaceAll(tool(t, root, "dpkg-query", "--admindir="+admin, "-W", "-f", "${Package}|${Version}|${source:Package}|${source:Version}\n"), " ", "_"))
	slices.Sort(want)
	var got []string
	for _, p := range doc.Packages {
		source, ok := strings.CutPrefix(p.SourceInfo, "built from Debian source package: ")
		if !ok {
			continue // the image itself
		}
		got = append(got, p.Name+"|"+p.VersionInfo+"|"+strings.ReplaceAll(source, " ", "|"))
		if len(p.Checksums) != 1 || p.PackageFileName == "" || !strings.Contains(p.ExternalRefs[0].ReferenceLocator, "distro=debian-") {
			t.Errorf("%s: no digest of the .deb, or no distro: %+v", p.Name, p)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("packages\n%q\ndpkg says\n%q", got, want)
	}
}

func compareFiles(t *testing.T, root string, doc *sbomDocument) {
	t.Helper()
	var want []string
	for line := range strings.Lines(tool(t, root, "find", ".", "-type", "f", "-exec", "sha256sum", "{}", "+")) {
		want = append(want, strings.TrimSpace(line))
	}
	slices.Sort(want)
	var got []string
	for _, f := range doc.Files {
		for _, c := range f.Checksums {
			if c.Algorithm == "SHA256" {
				got = append(got, c.ChecksumValue+"  "+f.FileName)
			}
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d files, the unpacked image has %d", len(got), len(want))
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("not in the document: %s", w)
			}
		}
	}
}
