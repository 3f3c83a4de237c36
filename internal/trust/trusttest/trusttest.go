// Package trusttest makes small images on disk for the tests of the packages
// beside it: real layers and documents, in milliseconds.
//
// It is imported by tests only.
package trusttest

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"distroless/internal/oci/image"
	"distroless/internal/oci/layer"
	"distroless/internal/oci/layout"
	"distroless/internal/rootfs"
)

// Created is the time of everything in the images, in seconds since 1970.
const Created = 1750000000

// Layer is the files of one layer by path, and what the history says of it. A
// value that begins with "-> " is a symbolic link, "=> " a hard link, and a
// path that ends in a slash a directory.
type Layer struct {
	By    string
	Files map[string]string
}

// Package returns the files of a package: its paragraph, its list, its
// copyright and those given, which may include directories and links.
func Package(name, version, control string, files map[string]string) map[string]string {
	out := maps.Clone(files)
	if out == nil {
		out = map[string]string{}
	}
	var sums strings.Builder
	for _, p := range slices.Sorted(maps.Keys(out)) {
		text := out[p]
		if at, link := strings.CutPrefix(text, "=> "); link {
			text = out[at]
		}
		if !strings.HasSuffix(p, "/") && !strings.HasPrefix(text, "-> ") {
			fmt.Fprintf(&sums, "%x  %s\n", md5.Sum([]byte(text)), p[1:])
		}
	}
	const dir = "/var/lib/dpkg/status.d/"
	out[dir+name] = fmt.Sprintf("Package: %s\nVersion: %s\n%s", name, version, control)
	out[dir+name+".md5sums"] = sums.String()
	return out
}

// Generated is a level's list of the files that no package ships, by path: what
// made each.
func Generated(level string, by map[string]string) map[string]string {
	var b strings.Builder
	at := rootfs.GeneratedDir + level
	by = maps.Clone(by)
	by[at] = "generated-list"
	for _, p := range slices.Sorted(maps.Keys(by)) {
		fmt.Fprintf(&b, "Generator: %s\nFiles:\n %s\n\n", by[p], p)
	}
	return map[string]string{at: b.String()}
}

// Files joins the files of several packages.
func Files(lists ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, l := range lists {
		maps.Copy(out, l)
	}
	return out
}

// Image makes an image of layers for an architecture.
func Image(t testing.TB, arch string, layers ...Layer) (*image.Image, map[string][]byte) {
	t.Helper()
	blobs := map[string][]byte{}
	var list []image.Layer
	for _, l := range layers {
		entries, texts := Entries(l.Files)
		var buf bytes.Buffer
		b, err := layer.Write(t.Context(), &buf, entries, func(e *rootfs.Entry) ([]byte, error) { return texts[e.Digest], nil }, layer.Compression{})
		if err != nil {
			t.Fatal(err)
		}
		blobs[b.Digest] = buf.Bytes()
		list = append(list, image.Layer{Blob: b, CreatedBy: l.By, Created: Created})
	}
	img, err := image.Build(image.Settings{
		Platform: image.Platform{OS: "linux", Architecture: arch}, Created: Created,
		Env: map[string]string{"PATH": "/usr/bin"}, User: "0", Workdir: "/", Entrypoint: []string{"/usr/bin/app"},
		Annotations: map[string]string{"org.opencontainers.image.title": "app-debian13"},
	}, list)
	if err != nil {
		t.Fatal(err)
	}
	return img, blobs
}

// Entries are the entries of a layer's files, with the bytes by digest.
func Entries(files map[string]string) ([]rootfs.Entry, map[string][]byte) {
	texts := map[string][]byte{}
	entries := map[string]rootfs.Entry{}
	for p, text := range files {
		for d := path.Dir(strings.TrimSuffix(p, "/")); d != "/"; d = path.Dir(d) {
			entries[d] = rootfs.Entry{Path: d, Kind: rootfs.Dir, Mode: 0o755, MTime: Created}
		}
		e := rootfs.Entry{Path: path.Clean(p), Kind: rootfs.File, Mode: 0o644, MTime: Created}
		switch {
		case strings.HasSuffix(p, "/"):
			e.Kind, e.Mode = rootfs.Dir, 0o755
		case strings.HasPrefix(text, "-> "):
			e.Kind, e.Mode, e.Target = rootfs.Symlink, 0o777, text[3:]
		case strings.HasPrefix(text, "=> "):
			e.Kind, e.Target = rootfs.Hardlink, text[3:]
		default:
			sum := sha256.Sum256([]byte(text))
			e.Digest, e.Size = hex.EncodeToString(sum[:]), int64(len(text))
			texts[e.Digest] = []byte(text)
		}
		entries[e.Path] = e
	}
	return slices.Collect(maps.Values(entries)), texts
}

// Layout writes images as a layout with the tags latest, for the index, and
// latest-<arch>, and returns its folder.
func Layout(t testing.TB, images []*image.Image, blobs ...map[string][]byte) string {
	t.Helper()
	idx, err := image.Index(images, map[string]string{"org.opencontainers.image.title": "app-debian13"})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, b := range blobs {
		maps.Copy(all, b)
	}
	c := &layout.Contents{
		Tags: []layout.Tag{{Name: "latest", Index: &idx}}, Images: images,
		Blobs: func(digest string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(all[digest])), nil },
	}
	for _, m := range images {
		c.Tags = append(c.Tags, layout.Tag{Name: "latest-" + m.Platform.Architecture, Image: m})
	}
	dir := filepath.Join(t.TempDir(), "app-debian13")
	if err := layout.Write(context.WithoutCancel(t.Context()), dir, c); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Sample is a layout with one image for two architectures: three packages, of
// which one has a machine-readable copyright file, and what the program
// generates.
func Sample(t testing.TB) string {
	t.Helper()
	var images []*image.Image
	var all []map[string][]byte
	for _, arch := range []string{"amd64", "arm64"} {
		img, blobs := Image(t, arch, SampleLayers(arch)...)
		images, all = append(images, img), append(all, blobs)
	}
	return Layout(t, images, all...)
}

// SampleLayers are the layers of [Sample].
func SampleLayers(arch string) []Layer {
	base := Package("base-files", "13.8+deb13u1", "Architecture: "+arch+"\nMaintainer: Base <base@example.org>\nDescription: files\n", map[string]string{
		"/usr/lib/os-release":                   "ID=debian\nVERSION_ID=\"13\"\n",
		"/usr/share/doc/base-files/copyright":   "Copyright: many\nOn Debian systems see /usr/share/common-licenses/GPL-2\n",
		"/usr/share/common-licenses/Apache-2.0": "the licence\n",
		"/etc/os-release":                       "-> ../usr/lib/os-release",
		"/tmp/":                                 "",
	})
	libc := Package("libc6", "2.41-12", "Architecture: "+arch+"\nSource: glibc\nDepends: libgcc-s1\n", map[string]string{
		"/usr/lib/libc.so.6":             "machine code for " + arch,
		"/usr/lib/libc-2.41.so":          "=> /usr/lib/libc.so.6",
		"/usr/share/doc/libc6/copyright": Copyright,
	})
	cxx := Package("libstdc++6", "14.2.0-19", "Architecture: "+arch+"\nSource: gcc-14 (14.2.0-18)\nDepends: libc6 (>= 2.41), libgcc-s1 | libfoo\n", map[string]string{
		"/usr/lib/libstdc++.so.6":             "more code for " + arch,
		"/usr/share/doc/libstdc++6/copyright": "-> ../base-files/copyright",
	})
	return []Layer{
		{By: "distroless static", Files: Files(base, map[string]string{"/etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\n", "/etc/motd": "hello\n"}, Generated("static", map[string]string{
			"/etc/passwd": "accounts", "/etc/motd": "contents", "/var/lib/dpkg/status.d/base-files": "dpkg-status", "/var/lib/dpkg/status.d/base-files.md5sums": "dpkg-status",
		}))},
		{By: "distroless base: glibc", Files: libc},
		{By: "distroless base", Files: Files(cxx, map[string]string{"/etc/ld.so.cache": "cache", "/usr/bin/app": "the application", "/empty": ""}, Generated("base", map[string]string{
			"/etc/ld.so.cache": "ldconfig", "/usr/bin/app": "contents", "/empty": "contents",
			"/var/lib/dpkg/status.d/libc6": "dpkg-status", "/var/lib/dpkg/status.d/libc6.md5sums": "dpkg-status",
			"/var/lib/dpkg/status.d/libstdc++6": "dpkg-status", "/var/lib/dpkg/status.d/libstdc++6.md5sums": "dpkg-status",
		}))},
	}
}

// Copyright is a machine-readable copyright file.
const Copyright = `Format: https://example.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: glibc

Files: *
Copyright: 1991-2025 the authors
License: LGPL-2.1+

Files: posix/*
Copyright: others
License: GPL-2+ with Libtool exception or Expat, and odd
 Some text.

License: LGPL-2.1+
 On Debian systems the text is in /usr/share/common-licenses/LGPL-2.1.

License: odd
 You may do this
 .
 and that.
`
