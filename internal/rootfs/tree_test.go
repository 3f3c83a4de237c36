package rootfs_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"distroless/internal/debian/archivetest"
	"distroless/internal/debian/deb"
	"distroless/internal/rootfs"
)

// Short names for what packages of tests are made of.
var (
	text     = archivetest.Text
	program  = archivetest.Exec
	dir      = archivetest.Dir
	symlink  = archivetest.Symlink
	hardlink = archivetest.Hardlink
)

type (
	pkg  = archivetest.Package
	file = archivetest.File
)

func files(list ...file) []file { return list }

// mode is a directory or file with other bits.
func mode(f file, bits int64) file { f.Mode = bits; return f }

// unpack reads packages as a build does.
func unpack(t testing.TB, packages ...pkg) ([]*rootfs.Listing, rootfs.Contents) {
	t.Helper()
	var listings []*rootfs.Listing
	contents := rootfs.Contents{}
	for _, p := range packages {
		data, err := p.Build()
		if err != nil {
			t.Fatal(err)
		}
		l, c, err := rootfs.Unpack(t.Context(), bytes.NewReader(data), p.Name+".deb", deb.Options{}, func(string) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		listings = append(listings, l)
		maps.Copy(contents, c)
	}
	return listings, contents
}

// level assembles packages with the rest of an input.
func level(t testing.TB, in rootfs.Input, packages ...pkg) *rootfs.Level {
	t.Helper()
	l, err := try(t, in, packages...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func try(t testing.TB, in rootfs.Input, packages ...pkg) (*rootfs.Level, error) {
	t.Helper()
	listings, contents := unpack(t, packages...)
	in.Packages = append(in.Packages, listings...)
	in.Arch = "amd64"
	if in.Read == nil {
		in.Read = func(e *rootfs.Entry) ([]byte, error) {
			data, ok := contents[e.Digest]
			if !ok {
				return nil, fmt.Errorf("no bytes of %s", e.Path)
			}
			return data, nil
		}
	}
	return rootfs.Assemble(in)
}

// tree is what a level adds, as "file 0644 <digest>" and so on by path, less
// dpkg's metadata and directories of the usual mode.
type tree map[string]string

func dump(l *rootfs.Level) tree {
	out := tree{}
	for _, layer := range l.Layers() {
		for i := range layer.Entries {
			e := &layer.Entries[i]
			s := describe(e)
			if strings.HasPrefix(e.Path, "/var/lib/dpkg") || s == "dir 0755" {
				continue
			}
			out[e.Path] = s
		}
	}
	return out
}

func describe(e *rootfs.Entry) string {
	s := ""
	switch e.Kind {
	case rootfs.Dir:
		s = fmt.Sprintf("dir %04o", e.Mode)
	case rootfs.File:
		s = fmt.Sprintf("file %04o %s", e.Mode, e.Digest[:8])
	case rootfs.Symlink:
		s = "symlink " + e.Target
	case rootfs.Hardlink:
		s = "link " + e.Target
	}
	if e.UID|e.GID != 0 {
		s += fmt.Sprintf(" %d:%d", e.UID, e.GID)
	}
	return s
}

// is describes a file of mode 0644 with that text, or a program.
func is(text string) string   { return "file 0644 " + sum(text)[:8] }
func runs(text string) string { return "file 0755 " + sum(text)[:8] }

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

// check compares trees and prints what differs, line by line.
func check(t *testing.T, got, want tree) {
	t.Helper()
	for _, p := range slices.Sorted(maps.Keys(want)) {
		if got[p] != want[p] {
			t.Errorf("%s: %q, want %q", p, got[p], want[p])
		}
	}
	for _, p := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[p]; !ok {
			t.Errorf("%s: %q, want nothing there", p, got[p])
		}
	}
}

// wantError runs a build that must fail with these words.
func wantError(t *testing.T, words string, in rootfs.Input, packages ...pkg) error {
	t.Helper()
	_, err := try(t, in, packages...)
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("error %v, want %q", err, words)
	}
	return err
}
