// Package lock is the lock file: the exact packages of every image, distro and
// architecture, and the state of the archive that they were chosen from. It
// reads, writes and compares; it chooses nothing (package resolve does) and
// fetches nothing.
//
// The file is one JSON document made for review: a package a line, sorted, so
// that a new libssl shows as one line changed per architecture. Its schema is
// docs/lock.schema.json. Start with [Lock] and [Cell].
package lock

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Version of the file's format. A file of another version is refused.
const Version = 1

// maxSize bounds a lock file in bytes.
const maxSize = 64 << 20

// Key names a cell: what is locked, built and sharded as one.
type Key struct {
	Image, Distro, Arch string // "base", "debian13", "amd64" (Debian's name)
}

// String is the key as it stands in the file: "base/debian13/amd64".
func (k Key) String() string { return k.Image + "/" + k.Distro + "/" + k.Arch }

// ParseKey is the inverse of [Key.String].
func ParseKey(s string) (Key, error) {
	p := strings.Split(s, "/")
	if len(p) != 3 || p[0] == "" || p[1] == "" || p[2] == "" {
		return Key{}, fmt.Errorf("cell %q: expected image/distro/architecture", s)
	}
	return Key{p[0], p[1], p[2]}, nil
}

// Lock is a whole lock file.
type Lock struct {
	Cells map[Key]*Cell
}

// Cell is one image's own level for one distro and architecture: the packages
// that it adds to the image it stands on.
type Cell struct {
	// Definition is the digest of the effective definition that was resolved,
	// "sha256:<hex>"; it covers the definitions below it.
	Definition string `json:"definition"`
	// From names the image below, in the same distro and architecture.
	From string `json:"from,omitempty"`
	// SourceDateEpoch clamps every time in the image, in seconds since 1970,
	// where one was set when locking.
	SourceDateEpoch *int64 `json:"source-date-epoch,omitempty"`
	// Archive is the state of each suite that packages were chosen from.
	Archive []Suite `json:"archive"`
	// Packages of the level, sorted by name.
	Packages []Package `json:"packages"`
	// Debug lists the packages that only the debug variants add, sorted.
	Debug []Package `json:"debug,omitempty"`
	// Upstream lists archives that are not Debian's, in the definition's order.
	Upstream []Upstream `json:"upstream,omitempty"`
	// Waivers are the dependencies that were left out, with the reasons.
	Waivers []Waiver `json:"waivers,omitempty"`
	// Layers names the source packages that have a layer of their own.
	Layers []string `json:"layers,omitempty"`
}

// Suite is the state of one suite of an archive.
type Suite struct {
	Suite   string    `json:"suite"`
	Date    time.Time `json:"date"`    // of its Release file
	Release string    `json:"release"` // sha256 of the signed Release file, hex
	Keyring string    `json:"keyring"` // digest of the keys that it was verified with
}

// Package is one exact .deb.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	// Source and SourceVersion are those of the source package; left out of
	// the file where they equal Name and Version.
	Source        string `json:"source,omitempty"`
	SourceVersion string `json:"source-version,omitempty"`
	Suite         string `json:"suite"`
	Path          string `json:"path"` // below the archive's root
	Size          int64  `json:"size"` // of the .deb, in bytes
	SHA256        string `json:"sha256"`
	// Needs are the names of the packages that meet its dependencies, sorted.
	Needs []string `json:"needs,omitempty"`
	// Wanted is set when the definition itself names the package.
	Wanted bool `json:"wanted,omitempty"`
}

// SourceName is the name of the source package.
func (p *Package) SourceName() string {
	if p.Source != "" {
		return p.Source
	}
	return p.Name
}

// SourceVer is the version of the source package.
func (p *Package) SourceVer() string {
	if p.SourceVersion != "" {
		return p.SourceVersion
	}
	return p.Version
}

// File is the name of the .deb, for messages.
func (p *Package) File() string { return p.Path[strings.LastIndexByte(p.Path, '/')+1:] }

// Upstream is one exact archive that is not Debian's.
type Upstream struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Npm     string `json:"npm,omitempty"`  // package in an npm registry
	Path    string `json:"path,omitempty"` // below the registry's address
	// Integrity is the digest that the registry states for the archive.
	Integrity string `json:"integrity,omitempty"`
	Size      int64  `json:"size"` // of the archive, in bytes
	SHA256    string `json:"sha256"`
	Purl      string `json:"purl,omitempty"`
	CPE       string `json:"cpe,omitempty"`
}

// Waiver is a dependency left out.
type Waiver struct {
	Package  string `json:"package"`  // that has the dependency
	Relation string `json:"relation"` // as its control file says it
	Reason   string `json:"reason"`
}

// All returns the packages of the cell, debug ones last.
func (c *Cell) All() []Package { return append(slices.Clone(c.Packages), c.Debug...) }

// Digest identifies the cell's content.
func (c *Cell) Digest() string {
	var b bytes.Buffer
	writeCell(&b, c)
	sum := sha256.Sum256(b.Bytes())
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Keys lists the cells, sorted.
func (l *Lock) Keys() []Key {
	return slices.SortedFunc(maps.Keys(l.Cells), func(a, b Key) int { return strings.Compare(a.String(), b.String()) })
}

// Versions returns the version that each package has in the cells of a distro
// and architecture: what a new cell there must keep.
func (l *Lock) Versions(distro, arch string) map[string]string {
	m := map[string]string{}
	for _, k := range l.Keys() {
		if k.Distro != distro || k.Arch != arch {
			continue
		}
		for _, p := range l.Cells[k].All() {
			m[p.Name] = p.Version
		}
	}
	return m
}

// Read reads a lock file. A file that is not there is an empty lock.
func Read(file string) (*Lock, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &Lock{Cells: map[Key]*Cell{}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read lock: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read lock: %w", err)
	}
	l, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("read lock %s: %w: restore it from version control, or remove it and run \"distroless lock\"", file, err)
	}
	return l, nil
}

// Parse reads the text of a lock file. Unknown fields, unsorted or doubled
// packages, cells given twice and values that could not have been written are
// errors.
func Parse(data []byte) (*Lock, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("more than %d bytes", maxSize)
	}
	p := &parser{data: data, dec: json.NewDecoder(bytes.NewReader(data)), lock: &Lock{Cells: map[Key]*Cell{}}}
	p.dec.DisallowUnknownFields()
	if err := p.object(func(key string) error {
		switch key {
		case "version":
			return p.value(&p.version)
		case "cells":
			return p.object(p.cell)
		}
		return fmt.Errorf("unknown key %q, expected version and cells", key)
	}); err != nil {
		return nil, err
	}
	if _, err := p.dec.Token(); err != io.EOF {
		return nil, errors.New("text after the end of the document")
	}
	if p.version != Version {
		return nil, fmt.Errorf("version %d, this program reads version %d", p.version, Version)
	}
	return p.lock, nil
}

// parser reads a lock value by value, since a mapping read as a whole would not
// tell that it has a key twice, as a bad merge leaves it.
type parser struct {
	data    []byte
	dec     *json.Decoder
	version int
	lock    *Lock
}

// object calls f with every key of an object; f reads the value.
func (p *parser) object(f func(key string) error) error {
	start, err := p.dec.Token()
	if err == nil && start != json.Delim('{') {
		return fmt.Errorf("line %d: %v, expected an object", p.line(p.dec.InputOffset()), start)
	}
	for err == nil && p.dec.More() {
		var key json.Token
		if key, err = p.dec.Token(); err != nil {
			break
		}
		if err := f(key.(string)); err != nil { // a key is a string, or Token fails
			return err
		}
	}
	if err == nil {
		_, err = p.dec.Token()
	}
	return p.where(err, 0)
}

func (p *parser) value(v any) error {
	start := p.dec.InputOffset()
	return p.where(p.dec.Decode(v), start)
}

func (p *parser) cell(name string) error {
	k, err := ParseKey(name)
	if err != nil {
		return err
	}
	if p.lock.Cells[k] != nil {
		return fmt.Errorf("cell %s: given twice", name)
	}
	var c *Cell
	if err := p.value(&c); err != nil {
		return err
	}
	if c == nil {
		return fmt.Errorf("cell %s: empty", name)
	}
	if err := c.validate(); err != nil {
		return fmt.Errorf("cell %s: %w", name, err)
	}
	p.lock.Cells[k] = c
	return nil
}

// where adds the line to a JSON error. start is where the value begins that
// was read, since errors about types count from there.
func (p *parser) where(err error, start int64) error {
	var syn *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syn):
		return fmt.Errorf("line %d: %w", p.line(syn.Offset), err)
	case errors.As(err, &typ):
		return fmt.Errorf("line %d: %w", p.line(start+typ.Offset), err)
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

func (p *parser) line(offset int64) int {
	return 1 + bytes.Count(p.data[:min(max(offset, 0), int64(len(p.data)))], []byte("\n"))
}

var (
	hexRE    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{64}$`) })
	digestRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^sha256:[0-9a-f]{64}$`) })
	nameRE   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`) })
)

func (c *Cell) validate() error {
	if !digestRE().MatchString(c.Definition) {
		return fmt.Errorf("definition %q: not a digest", c.Definition)
	}
	if c.SourceDateEpoch != nil && *c.SourceDateEpoch < 0 {
		return fmt.Errorf("source-date-epoch %d: expected seconds since 1970", *c.SourceDateEpoch)
	}
	for _, s := range c.Archive {
		if s.Suite == "" {
			return errors.New("archive: a suite without a name")
		}
		if !hexRE().MatchString(s.Release) {
			return fmt.Errorf("archive: suite %s: release %q: not 64 hex digits", s.Suite, s.Release)
		}
	}
	for _, list := range [][]Package{c.Packages, c.Debug} {
		for i := range list {
			if err := list[i].validate(); err != nil {
				return err
			}
			if i > 0 && list[i-1].Name >= list[i].Name {
				return fmt.Errorf("package %s: out of order or given twice", list[i].Name)
			}
		}
	}
	for _, w := range c.Waivers {
		if w.Relation == "" || w.Reason == "" {
			return fmt.Errorf("waiver of %s: no relation or no reason", w.Package)
		}
	}
	for _, l := range c.Layers {
		if !slices.ContainsFunc(c.Packages, func(p Package) bool { return p.SourceName() == l }) {
			return fmt.Errorf("layers: no package of the cell is made from %q", l)
		}
	}
	for _, u := range c.Upstream {
		if u.Name == "" || u.Version == "" || !hexRE().MatchString(u.SHA256) || u.Size <= 0 || strings.Contains(u.Path, "..") {
			return fmt.Errorf("upstream %q: no name, version, size or sha256, or a path that climbs", u.Name)
		}
	}
	return nil
}

func (p *Package) validate() error {
	clean := filepath.ToSlash(filepath.Clean(p.Path))
	switch {
	case !nameRE().MatchString(p.Name):
		return fmt.Errorf("package %q: not a package's name", p.Name)
	case p.Version == "" || p.Arch == "":
		return fmt.Errorf("package %s: no version or architecture", p.Name)
	case !hexRE().MatchString(p.SHA256):
		return fmt.Errorf("package %s: sha256 %q: not 64 hex digits", p.Name, p.SHA256)
	case p.Size <= 0:
		return fmt.Errorf("package %s: size %d", p.Name, p.Size)
	case p.Path == "" || clean != p.Path || strings.HasPrefix(clean, "/") || strings.HasPrefix(clean, ".."):
		return fmt.Errorf("package %s: path %q: expected a clean path below the archive's root", p.Name, p.Path)
	}
	return nil
}
