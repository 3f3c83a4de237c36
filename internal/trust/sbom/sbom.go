// Package sbom writes software bills of materials of images and indices, as
// SPDX 2.3 and CycloneDX 1.6 in JSON. They say which packages there are, from
// which sources, under which licences, and to which package or generator each
// file belongs. The same image gives the same bytes: nothing comes from the
// clock or the machine.
//
// It reads no layers (package inventory does) and signs nothing. Start with
// [Image] and [Index].
package sbom

import (
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"distroless/internal/debian/relation"
	"distroless/internal/plan/lock"
	"distroless/internal/trust/inventory"
)

// Format is a kind of document.
type Format string

// The formats.
const (
	SPDX      Format = "spdx"
	CycloneDX Format = "cyclonedx"
)

// Formats lists the formats in the order that they are attached.
func Formats() []Format { return []Format{SPDX, CycloneDX} }

// MediaType of a document, as registries and tools know it.
func (f Format) MediaType() string {
	if f == CycloneDX {
		return "application/vnd.cyclonedx+json"
	}
	return "application/spdx+json"
}

// PredicateType is the type of an in-toto statement whose predicate is such a
// document.
func (f Format) PredicateType() string {
	if f == CycloneDX {
		return "https://cyclonedx.org/bom"
	}
	return "https://spdx.dev/Document"
}

// tool is who the documents say made them. It has no version of the program in
// it: a new release must not change what is said of an old image. The number
// changes with what the documents say of the same image.
const tool, toolVersion = "distroless-sbom", "2"

// Document is an image, or the images of an index, on the way to a format.
type Document struct {
	name    string
	digest  string // of the manifest or the index
	created string
	index   bool
	images  []*inventory.Inventory
	locked  []locked // for each image
	// licences of the images' packages, read once for all formats.
	licences [][]licence
	texts    *Licences
}

// Licences are the licences of copyright files that have been read, so that the
// images of a run, which share most of their packages, do not have each read
// again. The zero value works; it is not for several goroutines at once.
type Licences struct {
	read map[[sha256.Size]byte]licence
	json map[[2]string][]byte // by name and text
}

// of returns what a copyright file says.
func (l *Licences) of(text []byte) licence {
	key := sha256.Sum256(text)
	out, ok := l.read[key]
	if !ok {
		out = readCopyright(text)
		if l.read == nil {
			l.read = map[[sha256.Size]byte]licence{}
		}
		l.read[key] = out
	}
	return out
}

// Share gives documents of one run the licences that others have read.
func (d *Document) Share(l *Licences) *Document {
	d.texts = l
	return d
}

// Locked is what the lock says of an image: its packages, for the digests of
// the .debs, and the archives that are not Debian's, which leave no mark of
// their own in an image.
type Locked struct {
	Packages []lock.Package
	Upstream []lock.Upstream
}

type locked struct {
	debs     map[string]*lock.Package // by name
	upstream []lock.Upstream
}

func (l Locked) index() locked {
	m := map[string]*lock.Package{}
	for i := range l.Packages {
		m[l.Packages[i].Name] = &l.Packages[i]
	}
	return locked{m, l.Upstream}
}

// Image describes one image, with what the lock says of it, which may be
// nothing.
func Image(v *inventory.Inventory, l Locked) *Document {
	return &Document{
		name: cmp.Or(v.Name, "image"), digest: v.Digest, created: v.Created,
		images: []*inventory.Inventory{v}, locked: []locked{l.index()},
	}
}

// Member is one image of an index.
type Member struct {
	Image *inventory.Inventory
	Locked
}

// Index describes an index: every image in it with its packages. The files
// stand in the documents of the images.
func Index(name, digest string, members []Member) *Document {
	d := &Document{name: name, digest: digest, index: true}
	for _, m := range members {
		d.name = cmp.Or(d.name, m.Image.Name)
		d.created = max(d.created, m.Image.Created)
		d.images = append(d.images, m.Image)
		d.locked = append(d.locked, m.index())
	}
	d.name = cmp.Or(d.name, "image")
	return d
}

// Encode writes the document in a format. It is not for several goroutines at
// once.
func (d *Document) Encode(f Format) ([]byte, error) {
	if d.licences == nil {
		if d.texts == nil {
			d.texts = new(Licences)
		}
		for _, v := range d.images {
			d.licences = append(d.licences, copyrights(v, d.texts))
		}
	}
	switch f {
	case SPDX:
		return d.spdx()
	case CycloneDX:
		return d.cyclonedx()
	}
	return nil, fmt.Errorf("format %q: expected %s or %s", f, SPDX, CycloneDX)
}

// deb returns the lock's entry of a package, if it is of the very version.
func deb(debs map[string]*lock.Package, p *inventory.Package) *lock.Package {
	if l := debs[p.Name]; l != nil && l.Version == p.Version {
		return l
	}
	return nil
}

// needs lists the packages of the image that meet a package's dependencies,
// sorted: for each relation the first alternative that is there.
func needs(v *inventory.Inventory, p *inventory.Package) []string {
	var out []string
	provided := provides(v)
	for _, field := range []string{"Pre-Depends", "Depends"} {
		groups, err := relation.Parse(p.Control.Get(field))
		if err != nil {
			continue // another vendor's package; the rest is still worth telling
		}
		for _, g := range groups {
			for _, r := range g.ForArch(p.Arch) {
				name := ""
				if q := v.Package(r.Name); q != nil && r.Matches(q.Version) {
					name = r.Name
				} else if by := provided[r.Name]; by != "" {
					name = by
				}
				if name == "" {
					continue
				}
				if name != p.Name && !slices.Contains(out, name) {
					out = append(out, name)
				}
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

// provides maps virtual packages to the first package that provides them.
func provides(v *inventory.Inventory) map[string]string {
	m := map[string]string{}
	for i := range v.Packages {
		groups, err := relation.Parse(v.Packages[i].Control.Get("Provides"))
		if err != nil {
			continue
		}
		for _, g := range groups {
			for _, r := range g {
				if m[r.Name] == "" {
					m[r.Name] = v.Packages[i].Name
				}
			}
		}
	}
	return m
}

// copyrights are the licences of an image's packages. A copyright file that is
// a link into another package's folder is read there.
func copyrights(v *inventory.Inventory, texts *Licences) []licence {
	byPath := map[string][]byte{}
	for i := range v.Packages {
		byPath["/usr/share/doc/"+v.Packages[i].Name+"/copyright"] = v.Packages[i].Copyright
	}
	out := make([]licence, len(v.Packages))
	for i := range v.Packages {
		out[i] = texts.of(byPath[resolve(v, "/usr/share/doc/"+v.Packages[i].Name+"/copyright")])
	}
	return out
}

// resolve follows links, in the folder as in the file.
func resolve(v *inventory.Inventory, p string) string {
	for range 16 {
		next := ""
		for _, at := range []string{p[:strings.LastIndexByte(p, '/')], p} {
			if f := v.File(at); f != nil && f.Kind == inventory.Symlink {
				next = join(at, f.Target) + p[len(at):]
				break
			}
		}
		if next == "" {
			return p
		}
		p = next
	}
	return p
}

// fileID is the part of a document's identifiers that names a file: a digest
// of its path, since identifiers have no slashes.
func fileID(path string) string {
	sum := sha1.Sum([]byte(path))
	return hex.EncodeToString(sum[:])
}
