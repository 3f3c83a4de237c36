package fetch

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"distroless/internal/hugepage"
)

// staleAfter is how old an unfinished file must be before it counts as left
// by a killed run. A running download writes to its file all the time.
const staleAfter = 24 * time.Hour

// Cache is a folder of files named by the SHA-256 of their bytes:
// <dir>/sha256/<hex>. Several processes may share it. A file appears whole, by
// rename; and because its bytes are checked on every read, nothing in the
// folder has to be trusted, whoever or whatever wrote it.
type Cache struct{ dir string }

// OpenCache opens the cache in dir, making the folder if it is not there, and
// removes files that killed runs left unfinished more than a day ago.
func OpenCache(dir string) (*Cache, error) {
	c := &Cache{dir: dir}
	for _, d := range []string{c.blobs(), c.temp()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("open cache %s: %w: choose another folder with --cache", dir, err)
		}
	}
	c.sweep(time.Now().Add(-staleAfter))
	return c, nil
}

// Dir returns the folder given to [OpenCache].
func (c *Cache) Dir() string { return c.dir }

func (c *Cache) blobs() string          { return filepath.Join(c.dir, "sha256") }
func (c *Cache) temp() string           { return filepath.Join(c.dir, "tmp") }
func (c *Cache) path(sum string) string { return filepath.Join(c.blobs(), sum) }

// sweep removes unfinished files last written before the time given. It is a
// courtesy, so errors (another process swept first) do not matter.
func (c *Cache) sweep(before time.Time) {
	entries, err := os.ReadDir(c.temp())
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.ModTime().Before(before) {
			_ = os.Remove(filepath.Join(c.temp(), e.Name()))
		}
	}
}

// Has reports whether a file of the object's digest, and of its size where
// that is known, is there. Its bytes are not looked at: that happens when they
// are read.
func (c *Cache) Has(o Object) bool {
	if validSHA256(o.SHA256) != nil {
		return false
	}
	info, err := os.Stat(c.path(o.SHA256))
	return err == nil && info.Mode().IsRegular() && (o.Size < 0 || info.Size() == o.Size)
}

// ReadFile returns an object's bytes, checked. A file with other bytes is
// removed; the error is then both an [ErrChecksum] and an [fs.ErrNotExist],
// since afterwards the object is missing like any other.
func (c *Cache) ReadFile(o Object) ([]byte, error) {
	r, err := c.Open(o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	// One byte more than the file has, so that reading to the end needs no
	// further growth.
	buf := bytes.NewBuffer(hugepage.Make(int(r.size) + bytes.MinRead)[:0])
	if _, err := buf.ReadFrom(r); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// Open opens an object for streaming. Its bytes are checked as they are read:
// see [Reader]. The error is an [fs.ErrNotExist] when the object is missing or
// has another length than the one wanted.
func (c *Cache) Open(o Object) (*Reader, error) {
	if err := validSHA256(o.SHA256); err != nil {
		return nil, fmt.Errorf("read %s from the cache: %w", o.Name, err)
	}
	f, err := os.Open(c.path(o.SHA256))
	if err != nil {
		return nil, fmt.Errorf("read %s from the cache: %w", o.Name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file: %w", c.path(o.SHA256), fs.ErrNotExist)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("read %s from the cache: %w", o.Name, err)
	}
	r := &Reader{file: f, want: o, size: info.Size(), hash: sha256.New()}
	if o.Size >= 0 && info.Size() != o.Size {
		err := r.damaged()
		_ = f.Close()
		return nil, err
	}
	return r, nil
}

// Link gives an object a second name, a hard link at the path to, which must not
// be there. Its bytes are not looked at: see [Reader.Verify]. File systems that
// cannot, or another one than the cache's, are an error; copy then.
//
// Who changes the bytes behind the second name changes the cache's too, and the
// next reading finds that.
func (c *Cache) Link(o Object, to string) error {
	if err := validSHA256(o.SHA256); err != nil {
		return fmt.Errorf("link %s: %w", o.Name, err)
	}
	if err := os.Link(c.path(o.SHA256), to); err != nil {
		return fmt.Errorf("link %s: %w", o.Name, err)
	}
	return nil
}

// Reader streams an object out of the cache while hashing it. The end,
// [io.EOF], comes only when all bytes were the right ones; otherwise the last
// Read fails with an [ErrChecksum] and the file is removed from the cache. So a
// caller may decode what it reads, but must not use the result before it has
// seen the end or called [Reader.Verify].
type Reader struct {
	file *os.File
	want Object
	size int64
	got  int64
	hash hash.Hash
	err  error // what every further Read returns
}

// Size returns the length of the whole object in bytes.
func (r *Reader) Size() int64 { return r.size }

// Read reads the next bytes; see [Reader] for what the end means.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.file.Read(p)
	r.hash.Write(p[:n])
	r.got += int64(n)
	if err == io.EOF && hex.EncodeToString(r.hash.Sum(nil)) != r.want.SHA256 {
		err = r.damaged()
	}
	r.err = err
	return n, err
}

// Verify reads what is left and returns nil when the whole object had the
// right bytes.
func (r *Reader) Verify() error {
	buf := make([]byte, max(1, min(r.size-r.got+1, 64<<10))) // io.Discard asks for 8 KiB at a time
	for {
		if _, err := r.Read(buf); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// Close closes the file. It says nothing about the bytes.
func (r *Reader) Close() error { return r.file.Close() }

// damaged removes the file and returns the error that says so.
func (r *Reader) damaged() error {
	e := &ChecksumError{Name: r.want.Name, From: r.file.Name(), Want: r.want.SHA256, WantSize: r.want.Size, GotSize: r.size}
	if _, err := io.Copy(r.hash, r.file); err == nil {
		e.Got = hex.EncodeToString(r.hash.Sum(nil))
	}
	_ = os.Remove(r.file.Name())
	return fmt.Errorf("read %s from the cache: %w: the damaged file was removed, %w afterwards", r.want.Name, e, fs.ErrNotExist)
}

// Put stores data and returns its SHA-256.
func (c *Cache) Put(data []byte) (sum string, err error) {
	w, err := c.Create()
	if err != nil {
		return "", err
	}
	defer w.Close()
	if _, err := w.Write(data); err != nil {
		return "", err
	}
	sum, _, err = w.Commit()
	return sum, err
}

// Remove removes an object. One that is not there is no error.
func (c *Cache) Remove(sum string) error {
	if err := validSHA256(sum); err != nil {
		return fmt.Errorf("remove from the cache: %w", err)
	}
	if err := os.Remove(c.path(sum)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove from the cache: %w", err)
	}
	return nil
}

// Create begins a new file whose digest is known only when it is whole.
func (c *Cache) Create() (*Writer, error) {
	name := filepath.Join(c.temp(), rand.Text())
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrNotExist) { // the folder was cleared under a running program
		if err = os.MkdirAll(c.temp(), 0o755); err == nil {
			f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("write to the cache: %w", err)
	}
	return &Writer{cache: c, file: f, hash: sha256.New()}, nil
}

// Writer writes one file of a [Cache]. The file becomes part of the cache with
// Commit and not before; Close without Commit leaves nothing.
type Writer struct {
	cache *Cache
	file  *os.File // nil after Commit or Close
	hash  hash.Hash
	size  int64
}

// Write appends p.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.hash.Write(p[:n])
	w.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("write to the cache: %w", err)
	}
	return n, nil
}

// Reset forgets everything written so far.
func (w *Writer) Reset() error {
	w.hash.Reset()
	w.size = 0
	err := w.file.Truncate(0)
	if err == nil {
		_, err = w.file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("write to the cache: %w", err)
	}
	return nil
}

// Commit moves the file to its place, and returns its SHA-256 and size.
func (w *Writer) Commit() (sum string, size int64, err error) {
	sum = hex.EncodeToString(w.hash.Sum(nil))
	temp := w.file.Name()
	err = w.file.Close()
	w.file = nil
	if err == nil {
		err = w.cache.adopt(temp, sum)
	}
	if err != nil {
		_ = os.Remove(temp)
		return "", 0, fmt.Errorf("write to the cache: %w", err)
	}
	return sum, w.size, nil
}

// adopt renames a finished file to its place, making the folder again where it
// was cleared under a running program.
func (c *Cache) adopt(temp, sum string) error {
	err := os.Rename(temp, c.path(sum))
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(c.blobs(), 0o755); err == nil {
			err = os.Rename(temp, c.path(sum))
		}
	}
	return err
}

// Close removes the file unless it was committed.
func (w *Writer) Close() error {
	if w.file == nil {
		return nil
	}
	name := w.file.Name()
	_ = w.file.Close()
	w.file = nil
	return os.Remove(name)
}

// validSHA256 refuses anything but 64 lower-case hexadecimal digits: the
// digest becomes a file name.
func validSHA256(sum string) error {
	if len(sum) != sha256.Size*2 {
		return fmt.Errorf("sha256 %q has %d characters, want 64", sum, len(sum))
	}
	for _, c := range []byte(sum) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("sha256 %q is not lower-case hexadecimal", sum)
		}
	}
	return nil
}
