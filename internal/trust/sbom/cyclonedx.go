package sbom

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"distroless/internal/plan/lock"
	"distroless/internal/trust/inventory"
)

// ownerProperty names, on a file, the generator that made it.
const ownerProperty = "distroless:generator"

func (d *Document) cyclonedx() ([]byte, error) {
	bom := cdx.NewBOM()
	bom.SpecVersion, bom.JSONSchema = cdx.SpecVersion1_6, "http://cyclonedx.org/schema/bom-1.6.schema.json"
	bom.SerialNumber = "urn:uuid:" + uuid(d.digest)
	top := container(d.name, d.digest, "")
	bom.Metadata = &cdx.Metadata{
		Timestamp: d.created, Component: &top,
		Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: tool, Version: toolVersion}}},
	}
	if !d.index {
		top = container(d.name, d.digest, d.images[0].Platform.Architecture)
		return writeImage(bom, imageParts(top.BOMRef, d.images[0], d.locked[0], d.licences[0], true))
	}
	var components []cdx.Component
	var members []string
	dependencies := []cdx.Dependency{{Ref: top.BOMRef, Dependencies: &members}}
	for i, v := range d.images {
		c := container(d.name, v.Digest, v.Platform.Architecture)
		members = append(members, c.BOMRef)
		parts := imageParts(c.BOMRef, v, d.locked[i], d.licences[i], false)
		c.Components = &parts.components
		components = append(components, c)
		dependencies = append(dependencies, parts.dependencies...)
	}
	bom.Components, bom.Dependencies = &components, &dependencies
	return encodeBOM(bom)
}

func encodeBOM(bom *cdx.BOM) ([]byte, error) {
	var b bytes.Buffer
	enc := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(bom); err != nil {
		return nil, fmt.Errorf("write CycloneDX document: %w", err)
	}
	return b.Bytes(), nil
}

// writeImage is the document of one image as the format's own library writes it,
// with the files, of which there are thousands, written by hand: a test holds the
// two against each other.
func writeImage(bom *cdx.BOM, p *parts) ([]byte, error) {
	out, err := encodeBOM(bom)
	if err != nil {
		return nil, err
	}
	n := 0
	for i := range p.components {
		n += 1024 + 320*len(p.owned[i])
	}
	out = slices.Grow(bytes.TrimSuffix(out, []byte("}\n")), n+400*len(p.generated))
	out = append(out, `,"components":[`...)
	sep := ""
	for i := range p.components {
		text, err := plain(&p.components[i])
		if err != nil {
			return nil, err
		}
		out = append(append(out, sep...), bytes.TrimSuffix(text, []byte("}"))...)
		sep = ","
		for j, f := range p.owned[i] {
			out = appendComponent(append(out, between(j, `,"components":[`)...), f)
		}
		out = append(closeList(out, len(p.owned[i])), '}')
	}
	for _, f := range p.generated {
		out = appendComponent(append(out, sep...), f)
		sep = ","
	}
	deps, err := plain(p.dependencies)
	if err != nil {
		return nil, err
	}
	return append(append(append(out, `],"dependencies":`...), deps...), "}\n"...), nil
}

// plain is a value as JSON without the escapes for HTML, and without the newline.
func plain(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("write CycloneDX document: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// appendComponent writes a file as a cdx.Component is written.
func appendComponent(b []byte, f *inventory.File) []byte {
	name := cmp.Or(f.Path, "/")
	b = appendString(append(b, `{"bom-ref":`...), "file:"+f.Path)
	b = appendString(append(b, `,"type":"file","name":`...), name)
	b = appendString(append(b, `,"hashes":[{"alg":"SHA-1","content":`...), f.SHA1)
	b = appendString(append(b, `},{"alg":"SHA-256","content":`...), f.SHA256)
	b = append(b, `}]`...)
	if f.Generated {
		b = append(appendString(append(b, `,"properties":[{"name":"`+ownerProperty+`","value":`...), f.Owner), `}]`...)
	}
	return append(b, '}')
}

// uuid is a version 8 UUID (RFC 9562) made of a digest.
func uuid(digest string) string {
	b := sha256.Sum256([]byte("cyclonedx " + digest))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func container(name, digest, arch string) cdx.Component {
	return cdx.Component{
		BOMRef: digest, Type: cdx.ComponentTypeContainer, Name: name, Version: digest, PackageURL: imagePURL(name, digest, arch),
		Hashes: hashes(cdx.HashAlgoSHA256, strings.TrimPrefix(digest, "sha256:")),
	}
}

func hashes(pairs ...any) *[]cdx.Hash {
	var out []cdx.Hash
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, cdx.Hash{Algorithm: pairs[i].(cdx.HashAlgorithm), Value: pairs[i+1].(string)})
	}
	return &out
}

// parts are what a document says of one image.
type parts struct {
	components   []cdx.Component     // packages, then archives that are not Debian's
	owned        [][]*inventory.File // of each component
	generated    []*inventory.File
	dependencies []cdx.Dependency
}

// imageParts are an image's packages with their files, and the files that were
// generated.
func imageParts(top string, v *inventory.Inventory, l locked, licences []licence, files bool) *parts {
	out := &parts{components: []cdx.Component{}}
	// References must differ between the images of an index; a package of
	// "all" is the same in each.
	ref := func(p *inventory.Package) string {
		if files {
			return purl(p, v.Distro)
		}
		return top + "/" + purl(p, v.Distro)
	}
	owned := map[string][]*inventory.File{}
	for i := range v.Files {
		f := &v.Files[i]
		switch {
		case f.Kind != inventory.Regular || !files:
		case f.Generated:
			out.generated = append(out.generated, f)
		default:
			owned[f.Owner] = append(owned[f.Owner], f)
		}
	}
	all := []string{}
	out.dependencies = []cdx.Dependency{{Ref: top, Dependencies: &all}}
	for i := range v.Packages {
		p := &v.Packages[i]
		c := packageComponent(v, p, licences[i], deb(l.debs, p))
		c.BOMRef = ref(p)
		out.components = append(out.components, c)
		out.owned = append(out.owned, owned[p.Name])
		all = append(all, c.BOMRef)
		on := []string{}
		for _, n := range needs(v, p) {
			on = append(on, ref(v.Package(n)))
		}
		out.dependencies = append(out.dependencies, cdx.Dependency{Ref: c.BOMRef, Dependencies: &on})
	}
	for _, u := range l.upstream {
		c := cdx.Component{
			BOMRef: top + "/upstream/" + u.Name, Type: cdx.ComponentTypeApplication, Name: u.Name, Version: u.Version,
			PackageURL: u.Purl, CPE: u.CPE, Hashes: hashes(cdx.HashAlgoSHA256, u.SHA256),
		}
		out.components = append(out.components, c)
		out.owned = append(out.owned, nil)
		all = append(all, c.BOMRef)
	}
	return out
}

func packageComponent(v *inventory.Inventory, p *inventory.Package, l licence, d *lock.Package) cdx.Component {
	c := cdx.Component{
		Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: purl(p, v.Distro),
		Properties: &[]cdx.Property{{Name: "distroless:source", Value: p.Source}, {Name: "distroless:source-version", Value: p.SourceVersion}},
	}
	c.Description, _, _ = strings.Cut(p.Control.Get("Description"), "\n")
	if m := p.Control.Get("Maintainer"); m != "" {
		c.Supplier = &cdx.OrganizationalEntity{Name: m}
	}
	if l.expression != "" {
		c.Licenses = &cdx.Licenses{{Expression: l.expression}}
	}
	if d != nil {
		c.Hashes = hashes(cdx.HashAlgoSHA256, d.SHA256)
	}
	if h := homepage(p); h != "" {
		c.ExternalReferences = &[]cdx.ExternalReference{{Type: cdx.ERTypeWebsite, URL: h}}
	}
	return c
}
