// Package ldcache writes /etc/ld.so.cache as glibc's ldconfig does for the
// same tree, byte for byte, for every architecture and without running
// anything of the image.
//
// ldconfig also makes the links from sonames to files; Debian's packages ship
// these, and this package makes none (`ldconfig -X`). The cache of a directory
// whose links are missing names them all the same, as ldconfig's does.
//
// Start with [Scan]; the [Cache] it returns gives the file's bytes, and the
// paths that package closure asks for. What is written follows glibc's
// elf/ldconfig.c, elf/cache.c and elf/stringtable.c, with Debian's
// directories; where a comment names a function it is one of these files'.
package ldcache

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"distroless/internal/rootfs/closure"
)

// Path is where ld.so looks for the cache.
const Path = "/etc/ld.so.cache"

// Tree is a file tree whose texts can be read: /etc/ld.so.conf and what it
// includes.
type Tree interface {
	closure.Tree
	// Read returns the bytes of a regular file at a path without links.
	Read(path string) ([]byte, error)
}

// Options say which ldconfig is to be followed. Both are needed.
type Options struct {
	// Arch is Debian's name of the image's architecture.
	Arch string
	// Version is the version of the Debian package that ldconfig would come
	// from, libc-bin's, which is always libc6's: "2.41-12". Formats differ
	// between releases, and since 2.33 the file names the whole version.
	Version string
}

// Cache is the contents of a cache file.
type Cache struct {
	Entries []Entry // in the file's order

	target target
	// hwcapNames are the glibc-hwcaps directories that were met, used or not.
	hwcapNames []string
}

// Entry is a library that ld.so can find by name.
type Entry struct {
	Name  string // what is asked for: a soname
	Path  string // where it is
	Flags int32  // kind of library and machine; see sysdeps/generic/ldconfig.h
	// Hwcap is the name of the glibc-hwcaps directory that the library lies
	// in, as "x86-64-v3"; "" for one that runs on every machine.
	Hwcap string

	// Extra says that ld.so finds it through the cache alone: the directory
	// is none of those that it searches by itself.
	Extra bool

	isaLevel  uint32 // of one with a Hwcap: highest x86 level needed, from 0
	osVersion uint32 // oldest kernel; glibc 2.31 alone notes it
}

// Build is the text of the cache for a tree: [Scan] and [Cache.Bytes].
func Build(t Tree, o Options) ([]byte, error) {
	c, err := Scan(t, o)
	if err != nil {
		return nil, err
	}
	return c.Bytes(), nil
}

// Paths are the paths for each name, in the order in which ld.so comes to
// them: closure.Options wants these. Libraries for better processors than the
// architecture asks for are left out, since not every machine loads them.
func (c *Cache) Paths() map[string][]string {
	m := map[string][]string{}
	for _, e := range c.Entries {
		if e.Hwcap == "" {
			m[e.Name] = append(m[e.Name], e.Path)
		}
	}
	return m
}

// Needed reports whether some library is found through the cache alone. A tree
// without such runs the same without a cache.
func (c *Cache) Needed() bool {
	return slices.ContainsFunc(c.Entries, func(e Entry) bool { return e.Extra })
}

// target is what is known of an architecture and a glibc.
type target struct {
	arch    string
	triplet string
	big     bool
	x86     bool
	version string // the package's
	minor   int    // 41 of 2.41
}

func newTarget(o Options) (target, error) {
	t := target{arch: o.Arch, version: o.Version}
	switch o.Arch {
	case "amd64":
		t.triplet, t.x86 = "x86_64-linux-gnu", true
	case "arm64":
		t.triplet = "aarch64-linux-gnu"
	case "armhf":
		t.triplet = "arm-linux-gnueabihf"
	case "s390x":
		t.triplet, t.big = "s390x-linux-gnu", true
	case "ppc64el":
		t.triplet = "powerpc64le-linux-gnu"
	case "riscv64":
		t.triplet = "riscv64-linux-gnu"
	default:
		return t, fmt.Errorf("make %s: architecture %q is not known: use amd64, arm64, armhf, ppc64el, riscv64 or s390x", Path, o.Arch)
	}
	upstream, _, _ := strings.Cut(o.Version, "-")
	major, minor, _ := strings.Cut(upstream, ".")
	n, err := strconv.Atoi(minor)
	if major != "2" || err != nil || n < 31 {
		return t, fmt.Errorf("make %s: version %q of libc-bin is not known: give one of Debian's from 2.31 on", Path, o.Version)
	}
	if o.Arch == "riscv64" && n < 37 {
		// Until 2.37 the flags there depended on what a library needs.
		return t, fmt.Errorf("make %s: riscv64 with glibc %s was in no release of Debian: use debian13 or newer", Path, upstream)
	}
	t.minor = n
	return t, nil
}

// generator is the text that ldconfig leaves in the file. See
// write_extensions.
func (t target) generator() string {
	upstream, _, _ := strings.Cut(t.version, "-")
	return "ldconfig (Debian GLIBC " + t.version + ") stable release version " + upstream
}

// builtin are the directories that ldconfig looks at after those of the
// configuration.
func (t target) builtin() []string {
	return []string{"/lib/" + t.triplet, "/usr/lib/" + t.triplet, "/lib", "/usr/lib"}
}
