package rootfs

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

const (
	// statusDir holds a control paragraph and a list of files per package, where
	// scanners look for them in images without dpkg.
	statusDir = "/var/lib/dpkg/status.d/"
	// GeneratedDir holds, for each level, the list of the files that no package
	// ships, with what made them.
	GeneratedDir = "/var/lib/distroless/generated/"
)

// statusName is the file name of a package's paragraph.
func statusName(pkg string) string { return statusDir + pkg }

// sumsName is the file name of a package's list of files.
func sumsName(pkg string) string { return statusDir + pkg + ".md5sums" }

// addStatus writes each package's paragraph and list of files, in the layer of
// the package, as old as the package; and those of packages of levels below
// anew where this level has changed which of their files are there. So each
// file that a package has in the image is in its list or its paragraph, and
// none is in two packages', or in one's that has another content.
func (a *assembler) addStatus() error {
	for _, s := range a.pkgs {
		texts := a.status(s)
		for _, p := range slices.Sorted(maps.Keys(texts)) {
			if err := a.generate("dpkg-status", p, 0o644, texts[p]); err != nil {
				return err
			}
			e := a.level.entries[p]
			e.Group, e.MTime = a.in.Layers[s.Package], s.Newest()
		}
		delete(a.touched, s.Package)
	}
	for _, name := range slices.Sorted(maps.Keys(a.touched)) {
		s := a.tree.packages[name]
		if s == nil {
			continue
		}
		texts := a.status(s)
		for _, p := range slices.Sorted(maps.Keys(texts)) {
			if old := a.tree.entries[p]; old != nil && old.Digest == hexSHA256(texts[p]) {
				continue
			}
			if err := a.generate("dpkg-status", p, 0o644, texts[p]); err != nil {
				return err
			}
		}
	}
	return nil
}

// status is a package's metadata by path.
func (a *assembler) status(s *sliced) map[string][]byte {
	sums := s.sums()
	return map[string][]byte{statusName(s.Package): a.paragraph(s, sums), sumsName(s.Package): a.md5sums(s, sums)}
}

// sums are the MD5 digests of all of a package's files, by the path in the
// package: those that its own list has, and those that it leaves out.
func (s *sliced) sums() map[string]string {
	out := maps.Clone(s.Sums)
	if out == nil {
		out = map[string]string{}
	}
	for sum, p := range sumLines(s.MD5Sums) {
		out[p] = sum
	}
	for i := range s.Listing.Entries {
		if e := &s.Listing.Entries[i]; e.Kind == Hardlink && out[e.Path] == "" {
			out[e.Path] = out[e.Target]
		}
	}
	return out
}

// here reports whether a package has a file in the tree, and under which path:
// one that was sliced away, that another package has taken the place of, or that
// something was generated over is not its own.
func (a *assembler) here(s *sliced, p string) (string, bool) {
	if to, ok := s.moved[p]; ok {
		p = to
	}
	e := a.tree.entries[p]
	return p, e != nil && (e.Kind == File || e.Kind == Hardlink) && e.Owner == s.Package && !e.Generated
}

// paragraph is the control paragraph as the package has it, with the
// configuration files that are in the image: dpkg's status file has them in the
// same field, a path and an MD5 digest a line, since a package's own list leaves
// them out.
func (a *assembler) paragraph(s *sliced, sums map[string]string) []byte {
	var b bytes.Buffer
	b.Write(bytes.TrimRight(s.Control, "\n"))
	b.WriteByte('\n')
	title := "Conffiles:\n"
	for _, c := range s.Conffiles {
		if at, ok := a.here(s, c); ok && sums[c] != "" {
			b.WriteString(title + " " + at + " " + sums[c] + "\n")
			title = ""
		}
	}
	return b.Bytes()
}

// md5sums is the package's list of checksums, less the files that it does not
// have in the image, under the paths that they have there; and with those that
// the package's own list leaves out and that are no configuration files.
func (a *assembler) md5sums(s *sliced, sums map[string]string) []byte {
	var b strings.Builder
	seen := map[string]bool{}
	line := func(p string) {
		if at, ok := a.here(s, p); ok && !seen[p] && sums[p] != "" {
			b.WriteString(sums[p] + "  " + strings.TrimPrefix(at, "/") + "\n")
		}
		seen[p] = true
	}
	for _, p := range sumLines(s.MD5Sums) {
		line(p)
	}
	for _, c := range s.Conffiles {
		seen[c] = true
	}
	for i := range s.Listing.Entries {
		if e := &s.Listing.Entries[i]; e.Kind == File || e.Kind == Hardlink {
			line(e.Path)
		}
	}
	return []byte(b.String())
}

// addGenerated lists, in the level's common layer, the level's files and links
// that no package ships, by what made each: with the packages' lists it says of
// every file in an image where it comes from. The list is in itself.
func (a *assembler) addGenerated() error {
	if a.in.Name == "" {
		return nil
	}
	at := GeneratedDir + a.in.Name
	by := map[string][]string{}
	for p, e := range a.level.entries {
		if e.Generated && e.Kind != Dir {
			by[e.Owner] = append(by[e.Owner], p)
		}
	}
	if len(by) == 0 {
		return nil
	}
	const self = "generated-list"
	by[self] = append(by[self], at)
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(by)) {
		if strings.ContainsAny(name, "\n\r") {
			return fmt.Errorf("list generated files: %q: a name that no list can hold: choose another", name)
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString("Generator: " + name + "\nFiles:\n")
		slices.Sort(by[name])
		for _, p := range by[name] {
			if strings.ContainsAny(p, "\n\r") || path.Clean(p) != p {
				return fmt.Errorf("list generated files: %q of %s: a name that no list can hold: choose another", p, name)
			}
			b.WriteString(" " + p + "\n")
		}
	}
	return a.generate(self, at, 0o644, []byte(b.String()))
}
