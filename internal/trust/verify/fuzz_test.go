package verify

import (
	"testing"

	"distroless/internal/trust/sbom"
)

// FuzzDocuments reads SBOMs as anybody may attach them.
func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`{"packages":[{"SPDXID":"SPDXRef-Image","versionInfo":"sha256:1","primaryPackagePurpose":"CONTAINER"},{"SPDXID":"a","name":"a","versionInfo":"1","externalRefs":[{"referenceLocator":"pkg:deb/debian/a@1"}]}],"files":[{"SPDXID":"f","fileName":"./x","checksums":[{"algorithm":"SHA256","checksumValue":"00"}]}],"relationships":[{"spdxElementId":"SPDXRef-Image","relationshipType":"CONTAINS","relatedSpdxElement":"a"},{"spdxElementId":"a","relationshipType":"CONTAINS","relatedSpdxElement":"f"}]}`))
	f.Add([]byte(`{"metadata":{"component":{"version":"sha256:1"}},"components":[{"type":"library","name":"a","version":"1","purl":"pkg:deb/debian/a@1","components":[{"type":"file","name":"/x","hashes":[{"alg":"SHA-256","content":"00"}]}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, format := range sbom.Formats() {
			d, err := read(format, data)
			if err != nil {
				continue
			}
			doc, err := d.image("sha256:1")
			if err == nil && doc.files == nil {
				t.Errorf("%s: neither a document nor an error", format)
			}
		}
	})
}
