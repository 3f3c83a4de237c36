package verify

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"distroless/internal/trust/inventory"
	"distroless/internal/trust/sbom"
)

// listed is what an SBOM says: packages as "name version", and files' sha256
// and owners by path.
type listed struct {
	packages []string
	files    map[string]entry
}

type entry struct{ sha256, owner string }

// document is an SBOM that was read.
type document interface {
	// image returns what is said of the image with that digest.
	image(digest string) (*listed, error)
}

// read reads an SBOM.
func read(f sbom.Format, data []byte) (document, error) {
	if f == sbom.CycloneDX {
		doc := new(cycloneDX)
		return doc, json.Unmarshal(data, doc)
	}
	doc := new(spdx)
	return doc, json.Unmarshal(data, doc)
}

// compareImage holds an SBOM against what the layers hold.
func compareImage(d document, m *inventory.Inventory) error {
	doc, err := d.image(m.Digest)
	if err != nil {
		return err
	}
	if err := samePackageLists(doc.packages, m); err != nil {
		return err
	}
	seen := 0
	for i := range m.Files {
		file := &m.Files[i]
		if file.Kind != inventory.Regular {
			continue
		}
		e, ok := doc.files[file.Path]
		switch {
		case !ok:
			return fmt.Errorf("%s is in the image and not in the document", file.Path)
		case e.sha256 != file.SHA256:
			return fmt.Errorf("%s has sha256 %s, the document says %s", file.Path, file.SHA256, e.sha256)
		case e.owner == "":
			return fmt.Errorf("%s belongs to nothing", file.Path)
		}
		seen++
	}
	if seen == len(doc.files) {
		return nil
	}
	for _, p := range slices.Sorted(maps.Keys(doc.files)) {
		if at := m.File(p); at == nil || at.Kind != inventory.Regular {
			return fmt.Errorf("%s is in the document and not in the image", p)
		}
	}
	return nil
}

func samePackageLists(packages []string, m *inventory.Inventory) error {
	for _, p := range m.Packages {
		if !slices.Contains(packages, p.Name+" "+p.Version) {
			return fmt.Errorf("package %s %s is in the image and not in the document", p.Name, p.Version)
		}
	}
	for _, p := range packages {
		name, version, _ := strings.Cut(p, " ")
		if at := m.Package(name); at == nil || at.Version != version {
			return fmt.Errorf("package %s is in the document and not in the image", p)
		}
	}
	return nil
}

// compareIndex checks that an index's document names the images and, of each,
// all packages.
func compareIndex(d document, members []*inventory.Inventory) error {
	for _, m := range members {
		doc, err := d.image(m.Digest)
		if err != nil {
			return err
		}
		if err := samePackageLists(doc.packages, m); err != nil {
			return fmt.Errorf("image %s: %w", m.Digest, err)
		}
	}
	return nil
}

// spdx is what is read of an SPDX document.
type spdx struct {
	Packages []struct {
		ID      string `json:"SPDXID"`
		Name    string `json:"name"`
		Version string `json:"versionInfo"`
		Purpose string `json:"primaryPackagePurpose"`
		Refs    []struct {
			Locator string `json:"referenceLocator"`
		} `json:"externalRefs"`
	} `json:"packages"`
	Files []struct {
		ID        string `json:"SPDXID"`
		Name      string `json:"fileName"`
		Comment   string `json:"comment"`
		Checksums []struct{ Algorithm, ChecksumValue string }
	} `json:"files"`
	Relationships []struct {
		From string `json:"spdxElementId"`
		How  string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	} `json:"relationships"`
}

func (doc *spdx) image(digest string) (*listed, error) {
	image := ""
	for _, p := range doc.Packages {
		if p.Purpose == "CONTAINER" && p.Version == digest {
			image = p.ID
		}
	}
	if image == "" {
		return nil, fmt.Errorf("it does not describe image %s", digest)
	}
	parents := map[string]string{}
	for _, r := range doc.Relationships {
		if r.How == "CONTAINS" {
			parents[r.To] = r.From
		}
	}
	out := &listed{files: map[string]entry{}}
	for _, p := range doc.Packages {
		if parents[p.ID] == image && len(p.Refs) > 0 && isDeb(p.Refs[0].Locator) {
			out.packages = append(out.packages, p.Name+" "+p.Version)
		}
	}
	for _, f := range doc.Files {
		e := entry{owner: parents[f.ID]}
		if e.owner == image {
			e.owner = f.Comment // the generator
		}
		for _, c := range f.Checksums {
			if c.Algorithm == "SHA256" {
				e.sha256 = c.ChecksumValue
			}
		}
		out.files[strings.TrimPrefix(f.Name, ".")] = e
	}
	return out, nil
}

// cycloneDX is what is read of a CycloneDX document.
type cycloneDX struct {
	Metadata   struct{ Component component }
	Components []component
}

// component is what is read of a component.
type component struct {
	Type       string
	Name       string
	Version    string
	Purl       string
	Hashes     []struct{ Alg, Content string }
	Components []component
	Properties []struct{ Name, Value string }
}

// isDeb reports whether a purl is that of a Debian package: of these the image
// says itself which it has.
func isDeb(purl string) bool { return strings.HasPrefix(purl, "pkg:deb/") }

func (doc *cycloneDX) image(digest string) (*listed, error) {
	list := doc.Components
	if doc.Metadata.Component.Version != digest {
		i := slices.IndexFunc(list, func(c component) bool { return c.Type == "container" && c.Version == digest })
		if i < 0 {
			return nil, fmt.Errorf("it does not describe image %s", digest)
		}
		list = list[i].Components
	}
	out := &listed{files: map[string]entry{}}
	for _, c := range list {
		if c.Type == "file" {
			owner := ""
			if len(c.Properties) > 0 {
				owner = c.Properties[0].Value
			}
			out.add(c, owner)
			continue
		}
		if isDeb(c.Purl) {
			out.packages = append(out.packages, c.Name+" "+c.Version)
		}
		for _, f := range c.Components {
			out.add(f, c.Name)
		}
	}
	return out, nil
}

func (l *listed) add(c component, owner string) {
	e := entry{owner: owner}
	for _, h := range c.Hashes {
		if h.Alg == "SHA-256" {
			e.sha256 = h.Content
		}
	}
	l.files[c.Name] = e
}
