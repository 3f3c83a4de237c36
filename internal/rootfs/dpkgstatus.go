package rootfs

import (
	"bytes"
	"path"
	"strings"
)

// statusDir holds a control paragraph and a list of files per package, where
// scanners look for them in images without dpkg.
const statusDir = "/var/lib/dpkg/status.d/"

// statusName is the file name of a package's paragraph.
func statusName(pkg string) string { return statusDir + pkg }

// sumsName is the file name of a package's list of files.
func sumsName(pkg string) string { return statusDir + pkg + ".md5sums" }

// paragraph is the control paragraph as it goes into status.d: as the package
// has it, with one newline at its end.
func paragraph(l *Listing) []byte {
	return append(bytes.TrimRight(l.Control, "\n"), '\n')
}

// md5sums is the package's list of checksums, less the files that are not in
// the image, under the paths that they have there. extra names files of the
// package that a later level brought in.
func (s *sliced) md5sums(extra map[string]bool) []byte {
	here := map[string]bool{}
	for i := range s.entries {
		if k := s.entries[i].Kind; k == File || k == Hardlink {
			here[s.entries[i].Path] = true
		}
	}
	var b strings.Builder
	for line := range strings.SplitSeq(string(s.MD5Sums), "\n") {
		sum, name, ok := strings.Cut(line, " ")
		if !ok {
			continue
		}
		p := path.Clean("/" + strings.TrimLeft(name, " *"))
		if to, ok := s.moved[p]; ok {
			p = to
		}
		if here[p] || extra[p] {
			b.WriteString(sum + "  " + strings.TrimPrefix(p, "/") + "\n")
		}
	}
	return []byte(b.String())
}
