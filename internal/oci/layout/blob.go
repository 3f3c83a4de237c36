package layout

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Blob opens a blob as it lies there, and returns its size in bytes. The bytes
// are not verified: that is for the reader.
func (l *Layout) Blob(h v1.Hash) (io.ReadSeekCloser, int64, error) {
	if h.Algorithm != "sha256" || len(h.Hex) != 2*sha256.Size {
		return nil, 0, fmt.Errorf("layout %s: digest %s: expected sha256", l.path, h)
	}
	name := blobName(h.String())
	if l.files != nil {
		at, ok := l.files[name]
		if !ok {
			return nil, 0, fmt.Errorf("layout %s: %s: %w", l.path, name, os.ErrNotExist)
		}
		f, err := os.Open(l.path)
		if err != nil {
			return nil, 0, fmt.Errorf("layout %s: %w", l.path, err)
		}
		return &seekable{io.NewSectionReader(f, at.offset, at.size), f}, at.size, nil
	}
	f, err := os.Open(filepath.Join(l.path, filepath.FromSlash(name)))
	if err != nil {
		return nil, 0, fmt.Errorf("layout %s: %w", l.path, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("layout %s: %w", l.path, err)
	}
	return f, info.Size(), nil
}

// seekable is a blob within an archive.
type seekable struct {
	*io.SectionReader
	io.Closer
}

// Entries are the entries of index.json as they were when the layout was
// opened.
func (l *Layout) Entries() []v1.Descriptor { return slices.Clone(l.index.Manifests) }

// Path is the folder or archive that the layout was opened from.
func (l *Layout) Path() string { return l.path }

// IsArchive reports whether the layout is a tar archive, which cannot be added
// to.
func (l *Layout) IsArchive() bool { return l.files != nil }

// Entry is a further entry of index.json.
type Entry struct {
	Descriptor v1.Descriptor     // Annotations may name it; without a name it is found by its subject
	Blobs      map[string][]byte // the manifest and what it names, by digest, "sha256:<hex>"
}

// Add puts further manifests into the layout that is a folder: attachments of
// its images. An entry with the digest or the name of one that is there takes
// its place. drop, where it is not nil, names entries that are taken out;
// their blobs stay. The index is replaced last, by rename.
func Add(dir string, entries []Entry, drop func(v1.Descriptor) bool) error {
	l, err := Open(dir)
	if err != nil {
		return err
	}
	if l.IsArchive() {
		return fmt.Errorf("add to %s: a tar archive cannot be added to: write a folder, and attach to that", dir)
	}
	if drop != nil {
		l.index.Manifests = slices.DeleteFunc(l.index.Manifests, drop)
	}
	for _, e := range entries {
		for digest, b := range e.Blobs {
			if err := addBlob(dir, digest, b); err != nil {
				return fmt.Errorf("add to layout %s: %w", dir, err)
			}
		}
		l.index.Manifests = slices.DeleteFunc(l.index.Manifests, func(d v1.Descriptor) bool {
			name := e.Descriptor.Annotations[refName]
			if d.Annotations[refName] != name {
				return false
			}
			return name != "" || d.Digest == e.Descriptor.Digest
		})
		l.index.Manifests = append(l.index.Manifests, e.Descriptor)
	}
	data, err := json.MarshalIndent(l.index, "", "  ")
	if err != nil {
		return fmt.Errorf("add to layout %s: %w", dir, err)
	}
	return replaceFile(filepath.Join(dir, "index.json"), append(data, '\n'))
}

// addBlob writes a blob under the digest that whoever made it has computed.
func addBlob(dir, digest string, data []byte) error {
	file := filepath.Join(dir, filepath.FromSlash(blobName(digest)))
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return replaceFile(file, data)
}

// replaceFile writes a file by way of a temporary one beside it.
func replaceFile(file string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".add-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		os.Remove(tmp.Name()) // a leftover beside the blobs is all that it can be
	}
	return err
}
