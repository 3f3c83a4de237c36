package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/github/go-spdx/v2/spdxexp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"

	"distroless/internal/testenv"
)

// schemas are the published schemas of both formats, from the modules that
// carry them: SPDX's from syft, CycloneDX's from its own library.
func schemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	syft, err := moduleDir("syft", "github.com/anchore/syft")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(strings.TrimSpace(string(out)), "schema")
	const base, spdx = "http://cyclonedx.org/schema/", "http://spdx.org/rdf/terms/2.3"
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for url, file := range map[string]string{
		base + "spdx.schema.json":     filepath.Join(own, "spdx.schema.json"),
		base + "jsf-0.82.schema.json": filepath.Join(own, "jsf-0.82.schemax.json"),
		base + "bom-1.6.schema.json":  filepath.Join(own, "bom-1.6.schema.json"),
		spdx:                          filepath.Join(syft, "schema", "spdx-json", "spdx-schema-2.3.json"),
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(url, v); err != nil {
			t.Fatal(err)
		}
	}
	m := map[string]*jsonschema.Schema{}
	for format, url := range map[string]string{"spdx": spdx, "cyclonedx": base + "bom-1.6.schema.json"} {
		s, err := c.Compile(url)
		if err != nil {
			t.Fatal(err)
		}
		m[format] = s
	}
	return m
}

// TestSBOMValid holds the documents of every family of images, and of an index
// of each, against the published schemas and the libraries of the formats'
// keepers, and their licences against the list and grammar of SPDX. If it
// fails, tools refuse to read what we publish.
func TestSBOMValid(t *testing.T) {
	testenv.E2E(t)
	rep := must(t, all.catalogue)
	schema := schemas(t)
	seen := map[string]bool{}
	for _, f := range families() {
		refs := []string{f.image + ":" + f.tag}
		if !seen[f.image] {
			seen[f.image] = true
			variant, _, _ := strings.Cut(f.tag, "-")
			refs = append(refs, f.image+":"+variant) // of the index
		}
		for _, ref := range refs {
			t.Run(ref, func(t *testing.T) {
				for format, s := range schema {
					data := ours(t, rep, ref, format)
					v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
					if err != nil {
						t.Fatal(err)
					}
					if err := s.Validate(v); err != nil {
						t.Errorf("%s: %v", format, err)
					}
					if format == "spdx" {
						validSPDX(t, data)
					} else if err := cdx.NewBOMDecoder(bytes.NewReader(data), cdx.BOMFileFormatJSON).Decode(new(cdx.BOM)); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

func validSPDX(t *testing.T, data []byte) {
	t.Helper()
	d, err := spdxjson.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(d); err != nil {
		t.Error(err)
	}
	refs := map[string]bool{}
	for _, l := range d.OtherLicenses {
		refs[l.LicenseIdentifier] = true
	}
	packages := 0
	for _, p := range d.Packages {
		if p.PackageLicenseDeclared == "NOASSERTION" {
			continue
		}
		packages++
		if ok, bad := spdxexp.ValidateLicenses([]string{p.PackageLicenseDeclared}); !ok {
			t.Errorf("%s: no licence expression: %q", p.PackageName, bad)
		}
		for _, word := range strings.FieldsFunc(p.PackageLicenseDeclared, func(r rune) bool { return strings.ContainsRune(" ()", r) }) {
			if strings.HasPrefix(word, "LicenseRef-") && !refs[word] {
				t.Errorf("%s: %s has no text in the document", p.PackageName, word)
			}
		}
	}
	if packages == 0 {
		t.Error("no package says its licence")
	}
}
