// Package inventory reads an image back from its layers: which files it holds,
// with which digests, and which package or generator each belongs to. It is
// what SBOMs are written from, images are compared by and attestations are held
// against; it judges nothing itself, and fetches nothing (an [Image] says where
// its blobs come from).
//
// Start with [Reader.Read].
package inventory

import (
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"distroless/internal/debian/deb822"
)

// Blobs opens the blobs of an image by their descriptors. What it returns need
// not be verified: whoever reads it does that.
type Blobs interface {
	Blob(d v1.Descriptor) (io.ReadCloser, error)
}

// Image is one image for one platform, as its documents say.
type Image struct {
	Descriptor v1.Descriptor
	Manifest   v1.Manifest
	Config     v1.ConfigFile
	Blobs      Blobs
}

// Kind is what a path is.
type Kind uint8

// The kinds of paths. Anything else in an image, a device say, is Other.
const (
	Dir Kind = iota
	Regular
	Symlink
	Other
)

// String is the kind's name in messages.
func (k Kind) String() string {
	return [...]string{"directory", "file", "symlink", "device"}[min(k, Other)]
}

// File is one path of an image as a container sees it: of the topmost layer
// that has it. A hard link is a file with the digests of what it names.
type File struct {
	Path   string // absolute and clean
	Kind   Kind
	Mode   uint32 // 07777
	UID    int
	GID    int
	Size   int64  // of a Regular, in bytes
	SHA1   string // digests of a Regular, hex
	SHA256 string
	MD5    string
	Target string // of a Symlink
	// Link is what a hard link names, an absolute path.
	Link  string
	Layer int // index into the manifest's layers
	// Owner is a package's name or, where Generated is set, what made the file.
	Owner     string
	Generated bool
}

// Package is one installed package, from its control paragraph.
type Package struct {
	Name, Version, Arch   string
	Source, SourceVersion string
	Control               deb822.Paragraph
	// Sums are the md5 checksums, hex, that the package's list says its files
	// have, by path.
	Sums      map[string]string
	Copyright []byte // its copyright file; nil for none
	// StatusFile is the path of the file that Control was read from.
	StatusFile string
}

// Inventory is all that an image holds. Those of one [Reader] share files and
// packages where the images have the same layers: they are not to be changed.
type Inventory struct {
	Digest   string // of the manifest, "sha256:<hex>"
	Name     string // from the annotations, else ""
	Created  string // RFC 3339, in UTC
	Platform v1.Platform
	Distro   string // "debian-13": ID and VERSION_ID of os-release, "" where there is none
	Config   v1.Config
	Manifest v1.Manifest
	DiffIDs  []string  // of the layers
	Files    []File    // sorted by path, directories and links among them
	Packages []Package // sorted by name
}

// File returns what is at a path, without following links.
func (v *Inventory) File(path string) *File {
	return fileAt(v.Files, path)
}

func fileAt(files []File, path string) *File {
	i, ok := slices.BinarySearchFunc(files, path, func(f File, p string) int { return strings.Compare(f.Path, p) })
	if !ok {
		return nil
	}
	return &files[i]
}

// Package returns a package by name.
func (v *Inventory) Package(name string) *Package {
	i, ok := slices.BinarySearchFunc(v.Packages, name, func(p Package, n string) int { return strings.Compare(p.Name, n) })
	if !ok {
		return nil
	}
	return &v.Packages[i]
}

// Mismatch is a blob that is not what a document says of it: an image that was
// altered or damaged.
type Mismatch struct {
	What string // "layer sha256:…"
	Got  string // what it is instead
	// Kind is "layer", "manifest", "config" or "document".
	Kind string
}

func (m *Mismatch) Error() string {
	return fmt.Sprintf("%s %s: the image was altered or damaged", m.What, m.Got)
}
