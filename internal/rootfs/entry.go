// Package rootfs makes the file tree of an image: it merges packages, slices
// them, adds what is generated (accounts, certificates, dpkg's metadata, links)
// and says which layer each entry belongs to. It works on metadata and asks for
// a file's bytes only where a generator must read them; it writes no archives
// (package oci does) and touches neither network nor disk.
//
// Start with [Assemble], which makes one level (an image minus the image it
// stands on), and [Entry].
package rootfs

import (
	"path"
	"strings"

	"distroless/internal/rootfs/elf"
)

// Kind is what an entry is.
type Kind uint8

// The kinds of entries. Devices, pipes and sockets cannot be in an image.
const (
	Dir Kind = iota
	File
	Symlink
	Hardlink
)

// Entry is one path of a tree or of a package.
type Entry struct {
	Path   string            `json:"path"` // clean, absolute: "/usr/bin/x"; "/" is the root
	Kind   Kind              `json:"kind"`
	Mode   uint32            `json:"mode"` // Unix permission bits with set-id and sticky: 07777
	UID    int               `json:"uid,omitempty"`
	GID    int               `json:"gid,omitempty"`
	MTime  int64             `json:"mtime"`            // seconds since 1970
	Size   int64             `json:"size,omitempty"`   // of a File, in bytes
	Digest string            `json:"sha256,omitempty"` // of a File's bytes, hex
	Target string            `json:"target,omitempty"` // of a Symlink as it is stored; of a Hardlink a clean absolute path
	Xattrs map[string][]byte `json:"xattrs,omitempty"` // bytes, since capabilities are no text
	ELF    *elf.Info         `json:"elf,omitempty"`    // where the file is an ELF file
	Interp string            `json:"interp,omitempty"` // of an executable that begins with "#!": the rest of that line

	// Like sorts files that resemble each other together, which compresses
	// better: see [likeness].
	Like string `json:"like,omitempty"`

	// Owner is the package that ships the entry, or the generator that made
	// it; Generated tells which.
	Owner     string `json:"-"`
	Generated bool   `json:"-"`
	// Group names the layer within the level: a source package, or "" for the
	// level's common layer.
	Group string `json:"-"`
}

// Listing is what a .deb holds, without the files' bytes: what is remembered of
// it once it has been read. It depends on nothing but the .deb.
type Listing struct {
	Package   string   `json:"package"`
	Version   string   `json:"version"`
	Arch      string   `json:"arch"`
	Control   []byte   `json:"control"` // the control paragraph as it is
	Replaces  string   `json:"replaces,omitempty"`
	MD5Sums   []byte   `json:"md5sums,omitempty"`
	Conffiles []string `json:"conffiles,omitempty"`
	// Sums are the MD5 digests, hex, of the files that MD5Sums does not list:
	// conffiles, above all.
	Sums    map[string]string `json:"sums,omitempty"`
	Scripts map[string][]byte `json:"scripts,omitempty"` // preinst, postinst, config; triggers
	Entries []Entry           `json:"entries"`           // in the .deb's order
	// References are the names under /usr/share/common-licenses that each
	// copyright file mentions, by the file's path.
	References map[string][]string `json:"references,omitempty"`
}

// Newest is the time of the newest file of the package, in seconds.
func (l *Listing) Newest() int64 {
	var t int64
	for i := range l.Entries {
		if e := &l.Entries[i]; e.Kind == File && e.MTime > t {
			t = e.MTime
		}
	}
	if t == 0 {
		for i := range l.Entries {
			t = max(t, l.Entries[i].MTime)
		}
	}
	return t
}

// parents calls f with every directory above p, the root first.
func parents(p string, f func(dir string)) {
	if p == "/" {
		return
	}
	f("/")
	for i := 1; i < len(p); i++ {
		if p[i] == '/' {
			f(p[:i])
		}
	}
}

// below reports whether p is dir itself or lies below it.
func below(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}

// resolveLink is the absolute path that a symbolic link at p names, without
// following further links; ".." at the root stays there.
func resolveLink(p, target string) string {
	if strings.HasPrefix(target, "/") {
		return path.Clean(target)
	}
	return path.Join(path.Dir(p), target)
}
