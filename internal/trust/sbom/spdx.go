package sbom

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"distroless/internal/plan/lock"
	"distroless/internal/trust/inventory"
)

const noAssertion = "NOASSERTION"

// relationship is one between two elements.
type relationship struct {
	a   common.ElementID
	how string
	b   common.ElementID
}

// namespace is the URI of an SPDX document, unique for the image's digest.
func namespace(name, digest string) string {
	return "https://spdx.org/spdxdocs/" + name + "-" + strings.ReplaceAll(digest, ":", "-")
}

// spdxWriter gathers a document.
type spdxWriter struct {
	doc    *v2_3.Document // without files and relationships
	files  []*inventory.File
	rels   []relationship
	texts  map[string]string // of LicenseRefs
	shared *Licences
	ids    map[string]bool
}

func (d *Document) spdx() ([]byte, error) {
	w := &spdxWriter{shared: d.texts, texts: map[string]string{}, ids: map[string]bool{}, doc: &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName: d.name, DocumentNamespace: namespace(d.name, d.digest),
		CreationInfo: &v2_3.CreationInfo{Created: d.created, Creators: []common.Creator{{CreatorType: "Tool", Creator: tool + "-" + toolVersion}}},
	}}
	top := w.container("Image", d.name, d.digest, imagePURL(d.name, d.digest, ""))
	if d.index {
		w.relate("DOCUMENT", "DESCRIBES", top)
	}
	for i, v := range d.images {
		id, prefix := top, ""
		if d.index {
			prefix = platformID(v) + "-"
			id = w.container(prefix+"Image", d.name, v.Digest, imagePURL(d.name, v.Digest, v.Platform.Architecture))
			w.relate(top, "CONTAINS", id)
		} else {
			w.doc.Packages[0].PackageExternalReferences[0].Locator = imagePURL(d.name, v.Digest, v.Platform.Architecture)
			w.relate("DOCUMENT", "DESCRIBES", id)
		}
		w.image(id, prefix, v, d.locked[i], d.licences[i], !d.index)
	}
	return w.bytes()
}

// bytes is the document as the format's own library writes it; a test holds the
// two against each other. Files and relationships, of which there are thousands,
// are written by hand: through the library they would cost ten times as much,
// half of it for identifiers that are encoded, parsed and copied.
func (w *spdxWriter) bytes() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(w.doc); err != nil {
		return nil, fmt.Errorf("write SPDX document: %w", err)
	}
	out := make([]byte, 0, b.Len()+w.size()+512*len(w.files)+160*len(w.rels)+64)
	out = append(out, bytes.TrimSuffix(b.Bytes(), []byte("}\n"))...)
	for i, f := range w.files {
		out = appendFile(append(out, between(i, `,"files":[`)...), f)
	}
	out = closeList(out, len(w.files))
	refs := slices.Sorted(maps.Keys(w.texts))
	for i, ref := range refs {
		out = append(append(out, between(i, `,"hasExtractedLicensingInfos":[`)...), w.shared.written(ref, w.texts[ref])...)
	}
	out = closeList(out, len(refs))
	for i, r := range w.rels {
		out = append(append(out, between(i, `,"relationships":[`)...), `{"spdxElementId":`...)
		out = append(appendString(out, "SPDXRef-"+string(r.a)), `,"relatedSpdxElement":`...)
		out = append(appendString(out, "SPDXRef-"+string(r.b)), `,"relationshipType":`...)
		out = append(appendString(out, r.how), '}')
	}
	return append(closeList(out, len(w.rels)), "}\n"...), nil
}

// size is about how long the licences' texts are, in bytes.
func (w *spdxWriter) size() int {
	n := 0
	for _, t := range w.texts {
		n += len(t)*17/16 + 200
	}
	return n
}

// written is a licence as v2_3.OtherLicense is written. Their texts are most of an
// index's document, and the same in those of all variants.
func (l *Licences) written(ref, text string) []byte {
	key := [2]string{ref, text}
	b, ok := l.json[key]
	if !ok {
		b = appendString(append(b, `{"licenseId":`...), ref)
		b = appendString(append(b, `,"extractedText":`...), text)
		b = append(appendString(append(b, `,"name":`...), strings.TrimPrefix(ref, "LicenseRef-")), '}')
		if l.json == nil {
			l.json = map[[2]string][]byte{}
		}
		l.json[key] = b
	}
	return b
}

// between is what stands before the i-th element of a list that begins so.
func between(i int, begin string) string {
	if i == 0 {
		return begin
	}
	return ","
}

func closeList(b []byte, n int) []byte {
	if n == 0 {
		return b
	}
	return append(b, ']')
}

// appendFile writes a file as v2_3.File is written.
func appendFile(b []byte, f *inventory.File) []byte {
	b = appendString(append(b, `{"fileName":`...), "."+f.Path)
	b = appendString(append(b, `,"SPDXID":`...), "SPDXRef-"+string(fileElement(f)))
	b = appendString(append(b, `,"checksums":[{"algorithm":"SHA1","checksumValue":`...), f.SHA1)
	b = appendString(append(b, `},{"algorithm":"SHA256","checksumValue":`...), f.SHA256)
	b = append(b, `}],"licenseConcluded":"NOASSERTION","licenseInfoInFiles":["NOASSERTION"],"copyrightText":"NOASSERTION"`...)
	if f.Generated {
		b = appendString(append(b, `,"comment":`...), generatedBy+f.Owner)
	}
	return append(b, '}')
}

func fileElement(f *inventory.File) common.ElementID {
	return common.ElementID("File-" + fileID(f.Path))
}

// appendString writes text as JSON does, without the escapes for HTML.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			var e bytes.Buffer
			enc := json.NewEncoder(&e)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(s); err != nil {
				panic(fmt.Sprintf("write %q as JSON: %v", s, err)) // a string: cannot happen
			}
			return append(b, bytes.TrimSuffix(e.Bytes(), []byte("\n"))...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

func platformID(v *inventory.Inventory) string {
	return elementID(strings.TrimSuffix(v.Platform.OS+"-"+v.Platform.Architecture+"-"+v.Platform.Variant, "-"))
}

// elementID is text as identifiers allow it.
func elementID(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-':
			b.WriteByte(c)
		case c == '+':
			b.WriteString("-plus")
		default:
			b.WriteByte('-')
		}
	}
	return b.String()
}

// id is an identifier that no other element has.
func (w *spdxWriter) id(s string) common.ElementID {
	id := elementID(s)
	for n := 2; w.ids[id]; n++ {
		id = fmt.Sprintf("%s-%d", elementID(s), n)
	}
	w.ids[id] = true
	return common.ElementID(id)
}

func (w *spdxWriter) relate(a common.ElementID, how string, b common.ElementID) {
	w.rels = append(w.rels, relationship{a, how, b})
}

// container adds the package that stands for an image or an index.
func (w *spdxWriter) container(id, name, digest, locator string) common.ElementID {
	p := &v2_3.Package{
		PackageName: name, PackageSPDXIdentifier: w.id(id), PackageVersion: digest, PackageDownloadLocation: noAssertion,
		PackageChecksums:      []common.Checksum{{Algorithm: common.SHA256, Value: strings.TrimPrefix(digest, "sha256:")}},
		PrimaryPackagePurpose: "CONTAINER", PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: noAssertion, PackageCopyrightText: noAssertion,
		PackageExternalReferences: []*v2_3.PackageExternalReference{{Category: spdx.CategoryPackageManager, RefType: spdx.PackageManagerPURL, Locator: locator}},
	}
	w.doc.Packages = append(w.doc.Packages, p)
	return p.PackageSPDXIdentifier
}

// image adds an image's packages, and its files where they are wanted.
func (w *spdxWriter) image(top common.ElementID, prefix string, v *inventory.Inventory, l locked, licences []licence, files bool) {
	ids := map[string]common.ElementID{}
	owned := map[string][]*inventory.File{}
	for i := range v.Files {
		if f := &v.Files[i]; f.Kind == inventory.Regular && files {
			owner := f.Owner
			if f.Generated {
				owner = ""
			}
			owned[owner] = append(owned[owner], f)
		}
	}
	for i := range v.Packages {
		p := &v.Packages[i]
		sp := w.packageOf(prefix, v, p, licences[i], l.debs)
		if list := owned[p.Name]; len(list) > 0 {
			sp.FilesAnalyzed = true
			sp.PackageVerificationCode = &common.PackageVerificationCode{Value: verificationCode(list)}
		}
		ids[p.Name] = sp.PackageSPDXIdentifier
		w.doc.Packages = append(w.doc.Packages, sp)
		w.relate(top, "CONTAINS", sp.PackageSPDXIdentifier)
	}
	for i := range v.Packages {
		for _, n := range needs(v, &v.Packages[i]) {
			w.relate(ids[v.Packages[i].Name], "DEPENDS_ON", ids[n])
		}
	}
	for _, u := range l.upstream {
		sp := w.upstream(prefix, u)
		w.doc.Packages = append(w.doc.Packages, sp)
		w.relate(top, "CONTAINS", sp.PackageSPDXIdentifier)
	}
	if !files {
		return
	}
	for i := range v.Files {
		f := &v.Files[i]
		if f.Kind != inventory.Regular {
			continue
		}
		w.files = append(w.files, f)
		owner := ids[f.Owner]
		if f.Generated || owner == "" {
			owner = top
		}
		w.relate(owner, "CONTAINS", fileElement(f))
	}
}

func (w *spdxWriter) packageOf(prefix string, v *inventory.Inventory, p *inventory.Package, l licence, debs map[string]*lock.Package) *v2_3.Package {
	maps.Copy(w.texts, l.texts)
	sp := &v2_3.Package{
		PackageName: p.Name, PackageSPDXIdentifier: w.id(prefix + "Package-" + p.Name), PackageVersion: p.Version,
		PackageDownloadLocation: noAssertion, PackageHomePage: homepage(p), PrimaryPackagePurpose: "LIBRARY",
		PackageSourceInfo:       "built from Debian source package: " + p.Source + " " + p.SourceVersion,
		PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: cmp.Or(l.expression, noAssertion), PackageCopyrightText: noAssertion,
		PackageExternalReferences: []*v2_3.PackageExternalReference{{Category: spdx.CategoryPackageManager, RefType: spdx.PackageManagerPURL, Locator: purl(p, v.Distro)}},
	}
	sp.PackageSummary, _, _ = strings.Cut(p.Control.Get("Description"), "\n")
	if m := p.Control.Get("Maintainer"); m != "" {
		sp.PackageSupplier = &common.Supplier{SupplierType: "Organization", Supplier: strings.NewReplacer("<", "(", ">", ")").Replace(m)}
	}
	if d := deb(debs, p); d != nil {
		sp.PackageFileName = d.File()
		sp.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: d.SHA256}}
	}
	return sp
}

// upstream is an archive that is not Debian's.
func (w *spdxWriter) upstream(prefix string, u lock.Upstream) *v2_3.Package {
	sp := &v2_3.Package{
		PackageName: u.Name, PackageSPDXIdentifier: w.id(prefix + "Upstream-" + u.Name), PackageVersion: u.Version,
		PackageDownloadLocation: noAssertion, PrimaryPackagePurpose: "APPLICATION",
		PackageChecksums:        []common.Checksum{{Algorithm: common.SHA256, Value: u.SHA256}},
		PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: noAssertion, PackageCopyrightText: noAssertion,
	}
	if u.Purl != "" {
		sp.PackageExternalReferences = append(sp.PackageExternalReferences, &v2_3.PackageExternalReference{Category: spdx.CategoryPackageManager, RefType: spdx.PackageManagerPURL, Locator: u.Purl})
	}
	if u.CPE != "" {
		sp.PackageExternalReferences = append(sp.PackageExternalReferences, &v2_3.PackageExternalReference{Category: spdx.CategorySecurity, RefType: spdx.SecurityCPE23Type, Locator: u.CPE})
	}
	return sp
}

func homepage(p *inventory.Package) string {
	h := p.Control.Get("Homepage")
	if strings.HasPrefix(h, "http://") || strings.HasPrefix(h, "https://") {
		return strings.TrimSpace(h)
	}
	return ""
}

// verificationCode is that of section 7.9 of the SPDX specification: a digest
// over the sorted digests of the files.
func verificationCode(files []*inventory.File) string {
	var all []string
	for _, f := range files {
		all = append(all, f.SHA1)
	}
	slices.Sort(all)
	sum := sha1.Sum([]byte(strings.Join(all, "")))
	return hex.EncodeToString(sum[:])
}

// generatedBy begins the comment of a file that no package ships.
const generatedBy = "generated by "

// join is the absolute path that a link at p names.
func join(p, target string) string {
	if strings.HasPrefix(target, "/") {
		return path.Clean(target)
	}
	return path.Join(path.Dir(p), target)
}
