package rootfs

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"distroless/internal/debian/deb"
	"distroless/internal/rootfs/elf"
)

// ListingVersion changes with what [Unpack] says of the same .deb; listings
// of another version are not to be used.
const ListingVersion = 6

// Contents are files' bytes by their SHA-256 in hex.
type Contents map[string][]byte

// Unpack reads a whole .deb. It returns its listing, and the bytes of those
// files that keep, given the path in the package, asks for. The .deb's own
// digest is the caller's to check before the result is trusted.
func Unpack(ctx context.Context, r io.Reader, name string, o deb.Options, keep func(path string) bool) (*Listing, Contents, error) {
	d, err := deb.Open(ctx, r, name, o)
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	l := listingOf(d.Control())
	listed := l.listed()
	contents := Contents{}
	var kept, passing room
	for {
		h, err := d.Next()
		if err == io.EOF {
			return l, contents, nil
		}
		if err != nil {
			return nil, nil, err
		}
		e := Entry{Path: h.Path, Mode: h.Mode, UID: h.UID, GID: h.GID, MTime: h.ModTime, Size: h.Size, Target: h.Link}
		if !utf8.ValidString(h.Path) || !utf8.ValidString(h.Link) {
			return nil, nil, fmt.Errorf("read %s: %q -> %q: a name that is not UTF-8, as Debian's policy asks: leave the package out", name, h.Path, h.Link)
		}
		for k, v := range h.Xattrs {
			if e.Xattrs == nil {
				e.Xattrs = map[string][]byte{}
			}
			e.Xattrs[k] = []byte(v)
		}
		switch h.Kind {
		case deb.Dir:
			e.Kind = Dir
		case deb.Symlink:
			e.Kind = Symlink
		case deb.Hardlink:
			e.Kind = Hardlink
		case deb.File:
			e.Kind = File
			wanted, memory := keep(e.Path), &kept
			if !wanted {
				passing.clear()
				memory = &passing
			}
			data, err := d.Content(memory.take(h.Size))
			if err != nil {
				return nil, nil, err
			}
			if err := inspect(&e, data); err != nil {
				return nil, nil, fmt.Errorf("read %s: %s: %w", name, e.Path, err)
			}
			l.noteReferences(&e, data)
			if !listed[e.Path] {
				l.noteSum(&e, data)
			}
			if wanted {
				contents[e.Digest] = data
			}
		}
		l.Entries = append(l.Entries, e)
	}
}

func listingOf(c *deb.Control) *Listing {
	l := &Listing{
		Package: c.Field("Package"), Version: c.Field("Version"), Arch: c.Field("Architecture"),
		Control: c.Paragraph, Replaces: c.Field("Replaces"), MD5Sums: c.MD5Sums, Conffiles: c.Conffiles,
		Scripts: map[string][]byte{},
	}
	for _, name := range []string{"preinst", "config", "postinst"} {
		if text := c.Scripts[name]; len(text) > 0 {
			l.Scripts[name] = text
		}
	}
	if len(c.Triggers) > 0 {
		l.Scripts["triggers"] = c.Triggers
	}
	return l
}

// listed is the set of paths in the package's own list of checksums.
func (l *Listing) listed() map[string]bool {
	out := map[string]bool{}
	for _, p := range sumLines(l.MD5Sums) {
		out[p] = true
	}
	return out
}

// sumLines yields the checksum and the path of each line of a .md5sums file.
func sumLines(text []byte) iter.Seq2[string, string] {
	return func(yield func(sum, p string) bool) {
		for line := range strings.SplitSeq(string(text), "\n") {
			sum, name, ok := strings.Cut(line, " ")
			if ok && !yield(sum, path.Clean("/"+strings.TrimLeft(name, " *"))) {
				return
			}
		}
	}
}

// noteSum notes the checksum of a file that the package's list leaves out: of
// its configuration files, as Debian's policy asks, and of all files where the
// package has no list. dpkg computes the same two when it unpacks.
func (l *Listing) noteSum(e *Entry, data []byte) {
	if l.Sums == nil {
		l.Sums = map[string]string{}
	}
	sum := md5.Sum(data)
	l.Sums[e.Path] = hex.EncodeToString(sum[:])
}

// inspect notes what the build must know of a file's bytes.
func inspect(e *Entry, data []byte) error {
	sum := sha256.Sum256(data)
	e.Digest = hex.EncodeToString(sum[:])
	e.Like = likeness(data)
	switch {
	case bytes.HasPrefix(data, []byte("\x7fELF")):
		info, err := elf.Inspect(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return err
		}
		e.ELF = info
	case e.Mode&0o111 != 0 && bytes.HasPrefix(data, []byte("#!")):
		line, _, _ := bytes.Cut(data[2:min(len(data), 258)], []byte("\n"))
		e.Interp = string(bytes.TrimSpace(line))
	}
	return nil
}

// noteReferences notes the licence texts that a copyright file names.
func (l *Listing) noteReferences(e *Entry, data []byte) {
	if path.Base(e.Path) == "copyright" && strings.HasPrefix(e.Path, "/usr/share/doc/") {
		if refs := references(data); len(refs) > 0 {
			if l.References == nil {
				l.References = map[string][]string{}
			}
			l.References[e.Path] = refs
		}
	}
}

var licenceRE = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`/usr/share/common-licenses/[A-Za-z0-9][A-Za-z0-9.+-]*`)
})

// references lists the licence texts that a copyright file names, sorted. A
// name that ends a sentence stands there with a dot behind it, so both forms
// count.
func references(text []byte) []string {
	var out []string
	for _, m := range licenceRE().FindAll(text, -1) {
		name := string(m)
		out = append(out, name, strings.TrimRight(name, ".-"))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
