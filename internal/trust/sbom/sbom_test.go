package sbom_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"

	"distroless/internal/plan/lock"
	"distroless/internal/trust/inventory"
	"distroless/internal/trust/sbom"
	"distroless/internal/trust/source"
	"distroless/internal/trust/trusttest"
)

// load reads all images of a layout, anew each time.
func load(t testing.TB, ref string) (digest string, images []*inventory.Inventory) {
	t.Helper()
	s, err := source.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list, err := source.Images(t.Context(), s, d)
	if err != nil {
		t.Fatal(err)
	}
	var r inventory.Reader
	for _, img := range list {
		v, err := r.Read(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, v)
	}
	return d.Digest.String(), images
}

var packages = []lock.Package{
	{Name: "libc6", Version: "2.41-12", Path: "pool/g/libc6_2.41-12_amd64.deb", SHA256: strings.Repeat("c6", 32)},
	{Name: "libstdc++6", Version: "1", Path: "pool/g/other.deb", SHA256: strings.Repeat("66", 32)},
}

var known = sbom.Locked{Packages: packages, Upstream: []lock.Upstream{
	{Name: "node", Version: "22.1.0", SHA256: strings.Repeat("0d", 32), Purl: "pkg:generic/node@22.1.0", CPE: "cpe:2.3:a:nodejs:node.js:22.1.0:*:*:*:*:*:*:*"},
}}

func documents(t testing.TB, dir string) map[string]*sbom.Document {
	_, one := load(t, dir+":latest-amd64")
	digest, both := load(t, dir+":latest")
	var members []sbom.Member
	for _, v := range both {
		members = append(members, sbom.Member{Image: v, Locked: known})
	}
	return map[string]*sbom.Document{"image": sbom.Image(one[0], known), "index": sbom.Index("app-debian13", digest, members)}
}

func encode(t testing.TB, d *sbom.Document, f sbom.Format) []byte {
	t.Helper()
	data, err := d.Encode(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestSameBytes: if it fails, a rebuilt image cannot be held against the
// published SBOM.
func TestSameBytes(t *testing.T) {
	a, b := documents(t, trusttest.Sample(t)), documents(t, trusttest.Sample(t))
	for name := range a {
		for _, f := range sbom.Formats() {
			if one, two := encode(t, a[name], f), encode(t, b[name], f); !bytes.Equal(one, two) {
				t.Errorf("%s as %s: other bytes the second time:\n%s\n%s", name, f, one, two)
			}
		}
	}
}

// TestSPDX holds the documents against the library of the format's keepers.
func TestSPDX(t *testing.T) {
	for name, d := range documents(t, trusttest.Sample(t)) {
		data := encode(t, d, sbom.SPDX)
		doc, err := spdxjson.Read(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, data)
		}
		if err := spdxlib.ValidateDocument(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var plain struct {
			Packages []struct {
				SPDXID, Name, VersionInfo, LicenseDeclared, PackageFileName string
				FilesAnalyzed                                               bool
				PackageVerificationCode                                     *struct{ PackageVerificationCodeValue string }
				Checksums                                                   []struct{ ChecksumValue string }
				ExternalRefs                                                []struct{ ReferenceLocator string }
			}
			Files         []struct{ SPDXID, FileName, Comment string }
			Relationships []struct{ SpdxElementID, RelatedSpdxElement, RelationshipType string }
		}
		if err := json.Unmarshal(data, &plain); err != nil {
			t.Fatal(err)
		}
		var got []string
		ids := map[string]bool{"SPDXRef-DOCUMENT": true}
		for _, p := range plain.Packages {
			sum := ""
			if len(p.Checksums) > 0 {
				sum = p.Checksums[0].ChecksumValue[:4]
			}
			if p.FilesAnalyzed != (p.PackageVerificationCode != nil) {
				t.Errorf("%s: %s: files analysed without a verification code, or the other way round", name, p.Name)
			}
			if ids[p.SPDXID] {
				t.Errorf("%s: %s is there twice", name, p.SPDXID)
			}
			ids[p.SPDXID] = true
			got = append(got, fmt.Sprintf("%s %s %s %s", p.SPDXID, p.ExternalRefs[0].ReferenceLocator, p.LicenseDeclared, sum))
		}
		owned := map[string]int{}
		for _, f := range plain.Files {
			if ids[f.SPDXID] {
				t.Errorf("%s: %s is there twice", name, f.SPDXID)
			}
			ids[f.SPDXID] = true
			owned[f.SPDXID] = 0
		}
		for _, r := range plain.Relationships {
			if !ids[r.SpdxElementID] || !ids[r.RelatedSpdxElement] {
				t.Errorf("%s: a relationship to what is not there: %+v", name, r)
			}
			if _, ok := owned[r.RelatedSpdxElement]; ok && r.RelationshipType == "CONTAINS" {
				owned[r.RelatedSpdxElement]++
			}
		}
		for id, n := range owned {
			if n != 1 {
				t.Errorf("%s: %s has %d owners, want one", name, id, n)
			}
		}
		if name == "image" {
			checkPackages(t, got)
			if len(plain.Files) != 20 {
				t.Errorf("%d files, want 20", len(plain.Files))
			}
		} else if len(plain.Packages) != 1+2+6+2 {
			t.Errorf("index: %d packages, want 11", len(plain.Packages))
		}
	}
}

func checkPackages(t *testing.T, got []string) {
	t.Helper()
	for i, want := range []string{
		"SPDXRef-Image pkg:oci/app-debian13@sha256%3A",
		"SPDXRef-Package-base-files pkg:deb/debian/base-files@13.8%2Bdeb13u1?arch=amd64&distro=debian-13 LicenseRef-copyright-",
		"SPDXRef-Package-libc6 pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13&upstream=glibc (GPL-2.0-or-later WITH Libtool-exception OR MIT) AND LicenseRef-odd AND LGPL-2.1-or-later c6c6",
		"SPDXRef-Package-libstdc-plus-plus6 pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64&distro=debian-13&upstream=gcc-14%4014.2.0-18 LicenseRef-copyright-",
	} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Errorf("package %d is %q, want %q", i, got, want)
		}
	}
}

// TestCycloneDX holds the documents against the published schema.
func TestCycloneDX(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(strings.TrimSpace(string(dir)), "schema")
	c := jsonschema.NewCompiler()
	for url, file := range map[string]string{"spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json", "bom-1.6.schema.json": "bom-1.6.schema.json"} {
		text, err := os.ReadFile(filepath.Join(at, file))
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource("http://cyclonedx.org/schema/"+url, v); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range documents(t, trusttest.Sample(t)) {
		data := encode(t, d, sbom.CycloneDX)
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v\n%s", name, err, data)
		}
		bom := new(cdx.BOM)
		if err := cdx.NewBOMDecoder(bytes.NewReader(data), cdx.BOMFileFormatJSON).Decode(bom); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		refs := map[string]bool{bom.Metadata.Component.BOMRef: true}
		var walk func([]cdx.Component)
		walk = func(list []cdx.Component) {
			for _, c := range list {
				if refs[c.BOMRef] {
					t.Errorf("%s: %s is there twice", name, c.BOMRef)
				}
				refs[c.BOMRef] = true
				if c.Components != nil {
					walk(*c.Components)
				}
			}
		}
		walk(*bom.Components)
		for _, d := range *bom.Dependencies {
			on := []string{d.Ref}
			if d.Dependencies != nil {
				on = append(on, *d.Dependencies...)
			}
			for _, on := range on {
				if !refs[on] {
					t.Errorf("%s: a dependency on what is not there: %s", name, on)
				}
			}
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	d := documents(b, trusttest.Sample(b))["image"]
	for _, f := range sbom.Formats() {
		b.Run(string(f), func(b *testing.B) {
			for b.Loop() {
				encode(b, d, f)
			}
		})
	}
}
