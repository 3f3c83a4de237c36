// Package index reads Packages files, the lists of what an archive holds for
// one architecture.
//
// An index is some 50 MB of text of which a lock needs a fifth, so [Parse] is
// a reader of its own, made for speed: it skips the other fields, keeps one
// string a package and hands over one package at a time. It refuses what later
// stages must be able to rely on: see [Package]. Whether the text is the one
// that the archive signed is checked before, in the archive client. Other
// control files are for package deb822.
package index

// Package is one paragraph of a Packages file: one version of one package.
// See deb-control(5) and Debian's RepositoryFormat. Name, Version, Arch, Path
// and SHA256 are never empty.
type Package struct {
	Name    string // a valid name of a package
	Version string // a valid version
	Arch    string // Debian's name, or "all"

	// Source and SourceVersion are the source package that it was built from;
	// they are Name and Version where the paragraph does not say otherwise.
	Source, SourceVersion string

	MultiArch string // "same", "foreign", "allowed", "no" or ""
	Priority  string // "required", "important", "standard", "optional" or what the archive says
	Essential bool

	// The relations as they stand in the file, maybe folded over lines: package
	// relation reads them.
	PreDepends, Depends, Conflicts, Breaks, Provides string

	Path   string // the .deb, relative to the root of the archive, without "..": Filename
	Size   int64  // of the .deb in bytes, not negative
	SHA256 string // of the .deb, 64 lower-case hexadecimal digits

	Suite string // as given to Parse: "trixie-security"
}

// String is "name version (architecture, suite)", for messages.
func (p *Package) String() string {
	return p.Name + " " + p.Version + " (" + p.Arch + ", " + p.Suite + ")"
}
