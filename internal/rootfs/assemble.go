package rootfs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"distroless/internal/rootfs/ldcache"
	"distroless/internal/rootfs/scripts"
)

// Input is all that one level is made of.
type Input struct {
	// Name of the level, unlike that of any level below: what its list of
	// generated files is called. "" writes no list.
	Name      string
	Lower     *Tree             // the tree that the level stands on; nil for none
	Arch      string            // Debian's name
	Packages  []*Listing        // of the level
	Layers    map[string]string // package to the source package whose layer it goes into; others go into the common one
	Slices    []Slice           // rules of this level and those below, the lowest first
	MergedUsr bool              // see the distro's merged-usr
	Contents  []Content
	Users     []User
	Groups    []Group
	// Certificates are added to the bundle of the levels below.
	Certificates []CertificateFile
	// Applets is the path of a busybox binary to make links for; "" for none.
	Applets string
	// Pins account for maintainer scripts that are not understood.
	Pins []scripts.Pin
	// Epoch, where set, is the latest time that an entry may have.
	Epoch *int64
	// Read returns the bytes of a package's file.
	Read func(*Entry) ([]byte, error)
}

// Content is an entry that the definition adds.
type Content struct {
	Entry        // Path, Kind, Mode, UID, GID, Target
	Bytes []byte // of a File
}

// Level is what one level adds to the tree below it.
type Level struct {
	Tree    *Tree             // the level and everything below it, merged
	Bytes   map[string][]byte // the generated files' bytes, by digest
	entries map[string]*Entry // what the level adds, but directories
	dirs    map[string]map[string]int64
	newest  map[string]int64 // newest package file by group; key "*" is the whole level
	epoch   *int64
}

// assembler holds a level while it is being made.
type assembler struct {
	in    Input
	level *Level
	tree  *Tree
	pkgs  []*sliced
	// picked names the alternatives that this level chose anew.
	picked []string
	// touched names the packages of levels below of which this level brings a
	// file back, or takes the place of one: their metadata is written anew.
	touched map[string]bool
}

// Assemble makes one level. The result depends on the input alone.
func Assemble(in Input) (*Level, error) {
	lower := in.Lower
	if lower == nil {
		lower = NewTree()
	}
	a := &assembler{in: in, tree: lower.clone(), touched: map[string]bool{}}
	a.level = &Level{
		Tree: a.tree, Bytes: map[string][]byte{}, entries: map[string]*Entry{},
		dirs: map[string]map[string]int64{}, newest: map[string]int64{}, epoch: in.Epoch,
	}
	for _, step := range []func() error{
		a.addPackages, a.addContents, a.addAccounts, a.addEffects, a.addBundle, a.addReferenced,
		a.addApplets, a.dropDangling, a.addLoaderCache, a.addStatus, a.addGenerated, a.setTimes,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return a.level, nil
}

// addPackages slices the packages and merges them, base-files first since it
// defines the modes of the top directories.
func (a *assembler) addPackages() error {
	order := slices.SortedFunc(slices.Values(a.in.Packages), func(x, y *Listing) int {
		if (x.Package == "base-files") != (y.Package == "base-files") {
			if x.Package == "base-files" {
				return -1
			}
			return 1
		}
		return strings.Compare(x.Package, y.Package)
	})
	for _, l := range order {
		s, err := slicePackage(l, a.in.Slices, a.in.MergedUsr)
		if err != nil {
			return err
		}
		a.pkgs = append(a.pkgs, s)
		a.tree.packages[l.Package] = s
	}
	for _, s := range a.pkgs {
		group := a.in.Layers[s.Package]
		for i := range s.entries {
			e := s.entries[i]
			e.Group = group
			if err := a.putPackage(s, &e); err != nil {
				return err
			}
		}
	}
	return a.mendHardlinks()
}

// mendHardlinks gives hard links their package's own file again where another
// package has taken the place of what they name. A link must never lead to
// another package's file, which may lie in another layer too.
func (a *assembler) mendHardlinks() error {
	for _, s := range a.pkgs {
		first := map[string]string{}
		for _, p := range slices.Sorted(maps.Keys(s.links)) {
			e := a.level.entries[p]
			if e == nil || e.Kind != Hardlink || e.Owner != s.Package {
				continue
			}
			if t := a.tree.entries[e.Target]; t != nil && t.Owner == e.Owner {
				continue
			}
			c := *e
			if at, ok := first[s.links[p]]; ok {
				c.Target = at
			} else if c.become(findFile(s.Listing, s.links[p], a.in.MergedUsr)) {
				first[s.links[p]] = p
			} else {
				return linkError(s.Listing, &c)
			}
			a.level.entries[p], a.tree.entries[p] = &c, &c
		}
	}
	return nil
}

// putPackage merges one entry of a package.
func (a *assembler) putPackage(s *sliced, e *Entry) error {
	old := a.tree.entries[e.Path]
	if e.Kind == Dir {
		a.noteDir(e.Group, e.Path, e.MTime)
		switch {
		case old == nil || old.Kind == Dir && old.implied():
			return a.put(e)
		case old.Kind == Dir:
			return nil
		case old.Kind == Symlink && a.resolvesToDir(e.Path):
			return nil // as dpkg does: a link to a directory stands for it
		}
		return &ConflictError{e.Path, old.Owner, e.Owner}
	}
	if old != nil {
		switch {
		case same(old, e), e.namesItself(a.in.MergedUsr):
			return nil
		case old.Owner == e.Owner && old.namesItself(a.in.MergedUsr):
		case old.Owner == e.Owner:
			return fmt.Errorf("package %s: %s is in it twice, once by another name that merged-usr or a slice's move maps to it: drop one of the two with a slice", e.Owner, e.Path)
		case old.Kind != Dir && a.replaces(s, old.Owner):
		case old.Kind != Dir && a.tree.packages[old.Owner] != nil && a.replaces(a.tree.packages[old.Owner], e.Owner):
			return nil
		default:
			return &ConflictError{e.Path, old.Owner, e.Owner}
		}
	}
	if e.Kind == File {
		a.level.newest[e.Group] = max(a.level.newest[e.Group], e.MTime)
		a.level.newest["*"] = max(a.level.newest["*"], e.MTime)
	}
	return a.put(e)
}

// replaces reports whether a package's Replaces field names another; the
// resolver has seen to it that versions agree.
func (a *assembler) replaces(s *sliced, other string) bool {
	for f := range strings.FieldsFuncSeq(s.Replaces, func(r rune) bool { return r == ',' || r == '|' }) {
		name, _, _ := strings.Cut(strings.TrimSpace(f), " ")
		if name == other {
			return true
		}
	}
	return false
}

func (a *assembler) resolvesToDir(p string) bool {
	e := a.tree.Resolve(p)
	return e != nil && e.Kind == Dir
}

func (a *assembler) noteDir(group, dir string, mtime int64) {
	if a.level.dirs[group] == nil {
		a.level.dirs[group] = map[string]int64{}
	}
	a.level.dirs[group][dir] = max(a.level.dirs[group][dir], mtime)
}

// put adds an entry to the level and the tree, with the parents it needs.
func (a *assembler) put(e *Entry) error {
	var fault error
	parents(e.Path, func(d string) {
		switch p := a.tree.entries[d]; {
		case fault != nil:
		case p == nil:
			dir := &Entry{Path: d, Kind: Dir, Mode: 0o755, Owner: "directories", Generated: true, Group: e.Group}
			a.tree.entries[d] = dir
			a.level.entries[d] = dir
		case p.Kind != Dir:
			fault = fmt.Errorf("merge %s of %s: %s of %s is not a directory: choose the path behind the link, or drop one of the two", e.Path, e.Owner, d, p.Owner)
		}
	})
	if fault != nil {
		return fault
	}
	if old := a.tree.entries[e.Path]; old != nil && !old.Generated && (e.Generated || e.Owner != old.Owner) {
		a.touched[old.Owner] = true
	}
	a.tree.entries[e.Path] = e
	a.level.entries[e.Path] = e
	return nil
}

// generate adds a file that no package ships. It replaces a generated file of
// a level below, but no package's file.
func (a *assembler) generate(generator, p string, mode uint32, text []byte) error {
	digest := hexSHA256(text)
	a.level.Bytes[digest] = text
	return a.putGenerated(&Entry{Path: p, Kind: File, Mode: mode, Size: int64(len(text)), Digest: digest, Owner: generator})
}

func hexSHA256(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func (a *assembler) putGenerated(e *Entry) error {
	e.Generated = true
	if a.in.MergedUsr {
		mapUsr(e)
	}
	old := a.tree.entries[e.Path]
	if old != nil && e.Kind != Dir {
		if old.Kind == Dir {
			return fmt.Errorf("make %s (%s): a directory of %s is there: drop it with a slice", e.Path, e.Owner, old.Owner)
		}
		if inLevel := a.level.entries[e.Path]; inLevel != nil && !same(old, e) {
			return fmt.Errorf("make %s (%s): %s has it already: drop that with a slice", e.Path, e.Owner, old.Owner)
		}
	}
	if old != nil && e.Kind == Dir && old.Kind != Dir {
		return fmt.Errorf("make directory %s (%s): %s of %s is no directory", e.Path, e.Owner, old.Path, old.Owner)
	}
	return a.put(e)
}

func (a *assembler) addContents() error {
	for _, c := range a.in.Contents {
		e := c.Entry
		if e.Owner == "" {
			e.Owner = "contents"
		}
		if e.Kind == File {
			if err := a.generateLike(e, c.Bytes); err != nil {
				return err
			}
			continue
		}
		if err := a.putGenerated(&e); err != nil {
			return err
		}
	}
	return nil
}

func (a *assembler) generateLike(e Entry, text []byte) error {
	if err := inspect(&e, text); err != nil {
		return fmt.Errorf("read %s: %w", e.Path, err)
	}
	e.Size = int64(len(text))
	a.level.Bytes[e.Digest] = text
	return a.putGenerated(&e)
}

func (a *assembler) addAccounts() error {
	if len(a.in.Users)+len(a.in.Groups) == 0 {
		return nil
	}
	if err := a.tree.addAccounts(a.in.Users, a.in.Groups); err != nil {
		return err
	}
	if err := a.generate("accounts", "/etc/passwd", 0o644, a.tree.passwd()); err != nil {
		return err
	}
	if err := a.generate("accounts", "/etc/group", 0o644, a.tree.group()); err != nil {
		return err
	}
	for _, u := range a.in.Users {
		if u.Home == "" || u.Home == "/" || u.Home == "/nonexistent" || a.tree.entries[u.Home] != nil {
			continue
		}
		home := &Entry{Path: u.Home, Kind: Dir, Mode: 0o700, UID: u.UID, GID: u.GID, Owner: "accounts"}
		if err := a.putGenerated(home); err != nil {
			return err
		}
	}
	return nil
}

// text returns the bytes of a file in the tree, nil if it is not there.
func (a *assembler) text(p string) ([]byte, error) {
	e := a.tree.Resolve(p)
	if e == nil || e.Kind != File {
		return nil, nil
	}
	if b, ok := a.level.Bytes[e.Digest]; ok {
		return b, nil
	}
	return a.in.Read(e)
}

// addReferenced brings back the dropped files that a kept copyright file of
// this level names: licence texts of base-files. Those that a level below has
// already are left alone.
func (a *assembler) addReferenced() error {
	named := map[string]bool{}
	for _, s := range a.pkgs {
		for i := range s.entries {
			for _, ref := range s.References[s.entries[i].Path] {
				named[ref] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.tree.packages)) {
		s := a.tree.packages[name]
		for again := true; again; { // a link brings the file that it names
			again = false
			for i := range s.referenced {
				e := s.referenced[i]
				if !named[e.Path] || a.tree.entries[e.Path] != nil {
					continue
				}
				e.Group = a.in.Layers[name]
				if err := a.put(&e); err != nil {
					return err
				}
				a.touched[name] = true
				if e.Kind == Symlink {
					named[resolveLink(e.Path, e.Target)] = true
					again = true
				}
			}
		}
	}
	return nil
}

func (a *assembler) addApplets() error {
	if a.in.Applets == "" {
		return nil
	}
	e := a.tree.entries[a.in.Applets]
	if e == nil || e.Kind != File {
		return fmt.Errorf("applets: no file %s in the level: name the path that a slice moved busybox to", a.in.Applets)
	}
	binary, err := a.in.Read(e)
	if err != nil {
		return err
	}
	names, err := applets(binary)
	if err != nil {
		return fmt.Errorf("applets: %s of %s: %w", e.Path, e.Owner, err)
	}
	for _, l := range appletLinks(e.Path, names) {
		l.Owner = "applets"
		if err := a.putGenerated(&l); err != nil {
			return err
		}
	}
	return nil
}

// dropDangling removes the links whose target a slice dropped, until none is
// left: a link to such a link goes too. Links that dangle for another reason
// stay, for the closure check to find.
func (a *assembler) dropDangling() error {
	gone := map[string]bool{}
	for _, s := range a.tree.packages {
		have := map[string]bool{}
		for i := range s.entries {
			have[s.entries[i].Path] = true
		}
		for i := range s.Listing.Entries {
			p := s.Listing.Entries[i].Path
			if a.in.MergedUsr {
				p = underUsr(p)
			}
			if !have[p] {
				gone[p] = true
			}
		}
	}
	for again := true; again; {
		again = false
		for _, p := range slices.Sorted(maps.Keys(a.level.entries)) {
			e := a.level.entries[p]
			if e.Kind != Symlink || e.Generated || a.tree.Resolve(p) != nil {
				continue
			}
			if end := a.tree.end(p); gone[end] {
				delete(a.level.entries, p)
				delete(a.tree.entries, p)
				gone[p] = true
				again = true
			}
		}
	}
	return nil
}

// addLoaderCache writes /etc/ld.so.cache once the C library is in the tree, in
// each level that changes it.
func (a *assembler) addLoaderCache() error {
	libc := a.tree.packages["libc6"]
	if libc == nil {
		return nil
	}
	c, err := ldcache.Scan(readable{a.tree.View(), a}, ldcache.Options{Arch: a.in.Arch, Version: libc.Version})
	if err != nil {
		return err
	}
	a.tree.loader = c
	text := c.Bytes()
	if old := a.tree.entries[ldcache.Path]; old != nil && old.Digest == hexSHA256(text) {
		return nil
	}
	return a.generate("ldconfig", ldcache.Path, 0o644, text)
}

// readable is the tree as ldconfig reads it.
type readable struct {
	View
	a *assembler
}

// Read implements [ldcache.Tree].
func (r readable) Read(p string) ([]byte, error) {
	e := r.a.tree.entries[p]
	if e != nil && e.Kind == Hardlink {
		p = e.Target
	}
	return r.a.text(p)
}

// end is the path at which following p stops for want of an entry.
func (t *Tree) end(p string) string {
	for range maxLinks {
		e, next := t.step(p)
		if next == "" {
			if e == nil {
				return p
			}
			return ""
		}
		p = next
	}
	return ""
}
