package sbom

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
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
	var components []cdx.Component
	var dependencies []cdx.Dependency
	if d.index {
		var members []string
		for i, v := range d.images {
			c := container(d.name, v.Digest, v.Platform.Architecture)
			members = append(members, c.BOMRef)
			parts, deps := imageComponents(c.BOMRef, v, d.locked[i], d.licences[i], false)
			c.Components = &parts
			components = append(components, c)
			dependencies = append(dependencies, deps...)
		}
		dependencies = append([]cdx.Dependency{{Ref: top.BOMRef, Dependencies: &members}}, dependencies...)
	} else {
		top = container(d.name, d.digest, d.images[0].Platform.Architecture)
		components, dependencies = imageComponents(top.BOMRef, d.images[0], d.locked[0], d.licences[0], true)
	}
	bom.Components, bom.Dependencies = &components, &dependencies
	var b bytes.Buffer
	enc := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(bom); err != nil {
		return nil, fmt.Errorf("write CycloneDX document: %w", err)
	}
	return b.Bytes(), nil
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

// imageComponents are an image's packages with their files, then the files that
// were generated.
func imageComponents(top string, v *inventory.Inventory, l locked, licences []licence, files bool) ([]cdx.Component, []cdx.Dependency) {
	out := []cdx.Component{}
	// References must differ between the images of an index; a package of
	// "all" is the same in each.
	ref := func(p *inventory.Package) string {
		if files {
			return purl(p, v.Distro)
		}
		return top + "/" + purl(p, v.Distro)
	}
	owned := map[string][]cdx.Component{}
	var generated []cdx.Component
	for i := range v.Files {
		f := &v.Files[i]
		switch {
		case f.Kind != inventory.Regular || !files:
		case f.Generated:
			c := fileComponent(f)
			c.Properties = &[]cdx.Property{{Name: ownerProperty, Value: f.Owner}}
			generated = append(generated, c)
		default:
			owned[f.Owner] = append(owned[f.Owner], fileComponent(f))
		}
	}
	all := []string{}
	deps := []cdx.Dependency{{Ref: top, Dependencies: &all}}
	for i := range v.Packages {
		p := &v.Packages[i]
		c := packageComponent(v, p, licences[i], deb(l.debs, p))
		c.BOMRef = ref(p)
		if list := owned[p.Name]; len(list) > 0 {
			c.Components = &list
		}
		out = append(out, c)
		all = append(all, c.BOMRef)
		on := []string{}
		for _, n := range needs(v, p) {
			on = append(on, ref(v.Package(n)))
		}
		deps = append(deps, cdx.Dependency{Ref: c.BOMRef, Dependencies: &on})
	}
	for _, u := range l.upstream {
		c := cdx.Component{
			BOMRef: top + "/upstream/" + u.Name, Type: cdx.ComponentTypeApplication, Name: u.Name, Version: u.Version,
			PackageURL: u.Purl, CPE: u.CPE, Hashes: hashes(cdx.HashAlgoSHA256, u.SHA256),
		}
		out = append(out, c)
		all = append(all, c.BOMRef)
	}
	return append(out, generated...), deps
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

func fileComponent(f *inventory.File) cdx.Component {
	return cdx.Component{
		BOMRef: "file:" + f.Path, Type: cdx.ComponentTypeFile, Name: cmp.Or(f.Path, "/"),
		Hashes: hashes(cdx.HashAlgoSHA1, f.SHA1, cdx.HashAlgoSHA256, f.SHA256),
	}
}
