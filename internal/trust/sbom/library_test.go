package sbom_test

import (
	"bytes"
	"encoding/json"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"distroless/internal/trust/inventory"
	"distroless/internal/trust/sbom"
	"distroless/internal/trust/trusttest"
)

// TestLibrary reads documents with the library of the format's keepers and has it
// write them again: the parts that are written by hand must be those that it
// writes. If it fails, a document has a field that nobody reads.
func TestLibrary(t *testing.T) {
	docs := documents(t, trusttest.Sample(t))
	docs["names"] = sbom.Image(&inventory.Inventory{Digest: "sha256:x", Name: "n", Created: "2025-01-01T00:00:00Z", Files: []inventory.File{
		{Path: "/a\"b\\c\n<&>", Kind: inventory.Regular, SHA1: "1", SHA256: "2", Owner: "a \u2028 ő", Generated: true},
		{Path: "/\x00\x1f\x7f", Kind: inventory.Regular, SHA1: "1", SHA256: "2", Owner: "x"},
	}}, sbom.Locked{})
	docs["empty"] = sbom.Image(&inventory.Inventory{Digest: "sha256:x"}, sbom.Locked{})
	for name, d := range docs {
		data := encode(t, d, sbom.SPDX)
		var doc v2_3.Document
		if err := json.Unmarshal(data, &doc); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, data)
		}
		var again bytes.Buffer
		enc := json.NewEncoder(&again)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(&doc); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, again.Bytes()) {
			t.Errorf("%s as SPDX: written\n%s\nthe library writes\n%s", name, data, again.Bytes())
		}
		data = encode(t, d, sbom.CycloneDX)
		var bom cdx.BOM
		if err := cdx.NewBOMDecoder(bytes.NewReader(data), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, data)
		}
		again.Reset()
		if err := cdx.NewBOMEncoder(&again, cdx.BOMFileFormatJSON).SetEscapeHTML(false).Encode(&bom); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, again.Bytes()) {
			t.Errorf("%s as CycloneDX: written\n%s\nthe library writes\n%s", name, data, again.Bytes())
		}
	}
}
