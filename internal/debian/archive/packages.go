package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"distroless/internal/fetch"
	"distroless/internal/gunzip"
	"distroless/internal/xz"
)

// What can be wrong with one architecture of a suite. Callers go on with the
// others where they were asked to.
var (
	// ErrArchitecture: the Release does not list the architecture.
	ErrArchitecture = errors.New("architecture not in this suite")
	// ErrComponent: the Release does not list the component.
	ErrComponent = errors.New("component not in this suite")
	// ErrMismatch: an index that the Release lists is not there, or has other
	// bytes, on any mirror.
	ErrMismatch = errors.New("index does not match its Release")
)

// maxIndex bounds an index whose length the Release does not say: 1 GiB.
const maxIndex = 1 << 30

// Index is a component's list of packages for an architecture, verified.
type Index struct {
	Component, Arch string
	parts           []part
}

// part is one file of an index, still compressed.
type part struct {
	path string // below the suite's folder
	data []byte
	size int64 // when decompressed, negative when the Release does not say
}

// between stands between the files of an index, in case the first one does not
// end in a newline.
const between = "\n\n"

// Paths returns the files that make up the index, below the suite's folder.
func (x *Index) Paths() []string {
	var all []string
	for _, p := range x.parts {
		all = append(all, p.path)
	}
	return all
}

// Size returns the decompressed length in bytes, or -1 when the Release does
// not say.
func (x *Index) Size() int64 {
	var sum int64
	for _, p := range x.parts {
		if p.size < 0 {
			return -1
		}
		sum += p.size
	}
	return sum + int64(len(x.parts)-1)*int64(len(between))
}

// Open returns the decompressed text, its paragraphs as in the file. The bytes
// were verified before; an error while reading means that they do not
// decompress to the length that the Release lists. The context ends the
// reading.
func (x *Index) Open(ctx context.Context) (io.ReadCloser, error) {
	readers := make([]io.Reader, 0, 2*len(x.parts))
	all := new(indexReader)
	for i, p := range x.parts {
		r, err := p.open(ctx)
		if err != nil {
			_ = all.Close()
			return nil, fmt.Errorf("read %s: %w", p.path, err)
		}
		if i > 0 {
			readers = append(readers, strings.NewReader(between))
		}
		readers = append(readers, r)
		all.closers = append(all.closers, r)
	}
	all.Reader = io.MultiReader(readers...)
	return all, nil
}

// ReadAll returns the decompressed text at once: 57 MB for Debian's main.
func (x *Index) ReadAll(ctx context.Context) ([]byte, error) {
	r, err := x.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	buf := bytes.NewBuffer(make([]byte, 0, min(max(0, x.Size()), maxIndex)+bytes.MinRead))
	_, err = buf.ReadFrom(r)
	return buf.Bytes(), err
}

type indexReader struct {
	io.Reader
	closers []io.Closer
}

func (r *indexReader) Close() error {
	var errs []error
	for _, c := range r.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

func (p part) open(ctx context.Context) (io.ReadCloser, error) {
	r, err := decompress(ctx, p.path, bytes.NewReader(p.data))
	if err != nil {
		return nil, err
	}
	return &exactly{ctx: ctx.Err, r: r, path: p.path, want: p.size}, nil
}

// decompress picks the decoder by the name's ending.
func decompress(ctx context.Context, name string, r io.Reader) (io.ReadCloser, error) {
	switch {
	case strings.HasSuffix(name, ".xz"):
		return xz.NewReader(ctx, r, xz.Options{})
	case strings.HasSuffix(name, ".gz"):
		z, err := gunzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(z), nil
	}
	return io.NopCloser(r), nil
}

// exactly bounds a decompressed index: a small file can decompress to any
// amount.
type exactly struct {
	ctx  func() error
	r    io.ReadCloser
	path string
	want int64 // negative when unknown
	got  int64
}

func (e *exactly) Read(b []byte) (int, error) {
	if err := e.ctx(); err != nil {
		return 0, err
	}
	n, err := e.r.Read(b)
	e.got += int64(n)
	limit := e.want
	if limit < 0 {
		limit = maxIndex
	}
	if e.got > limit || err == io.EOF && e.want >= 0 && e.got != e.want {
		return 0, fmt.Errorf("decompress %s: %d bytes or more, its Release says %d: %w", e.path, e.got, limit, ErrMismatch)
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("decompress %s: %w", e.path, err)
	}
	return n, err
}

func (e *exactly) Close() error { return e.r.Close() }

// Packages fetches the index of a component, such as main, for an
// architecture, Debian's name. Where the suite has the packages of
// Architecture: all in an index of their own, the Index is of both.
//
// The error is an [ErrArchitecture] or [ErrComponent] when the Release does not
// list it, an [ErrMismatch] when no mirror has the bytes that it does list.
func (c *Client) Packages(ctx context.Context, r *Release, component, arch string) (*Index, error) {
	folders, err := r.folders(component, arch)
	if err != nil {
		return nil, fmt.Errorf("read packages of %s: %w", r.Suite.Name, err)
	}
	x := &Index{Component: component, Arch: arch}
	for _, folder := range folders {
		p, err := c.part(ctx, r, folder)
		if err != nil {
			return nil, fmt.Errorf("read packages of %s for %s: %w", r.Suite.Name, arch, err)
		}
		x.parts = append(x.parts, p)
	}
	return x, nil
}

// folders returns where the indices of a component and architecture lie, each
// with a slash at the end.
func (r *Release) folders(component, arch string) ([]string, error) {
	if isFlat(r.Suite.Name) {
		return []string{""}, nil
	}
	if !r.hasComponent(component) {
		return nil, fmt.Errorf("its Release of %s lists components %s, not %s: %w",
			stamp(r.Date), strings.Join(r.Components, " "), component, ErrComponent)
	}
	hasAll := slices.Contains(r.Architectures, "all") && !r.NoArchAllIndex
	folder := func(a string) string { return component + "/binary-" + a + "/" }
	var folders []string
	switch {
	case arch == "all" && hasAll:
		return []string{folder("all")}, nil
	case arch == "all" || !slices.Contains(r.Architectures, arch) && !hasAll:
		return nil, fmt.Errorf("its Release of %s lists %s, no index for %s: %w",
			stamp(r.Date), strings.Join(r.Architectures, " "), arch, ErrArchitecture)
	case slices.Contains(r.Architectures, arch):
		folders = append(folders, folder(arch))
	}
	if hasAll {
		folders = append(folders, folder("all"))
	}
	return folders, nil
}

// hasComponent knows that the Release of a security suite lists updates/main
// for what lies in, and is asked for as, main.
func (r *Release) hasComponent(component string) bool {
	return slices.Contains(r.Components, component) || slices.Contains(r.Components, "updates/"+component)
}

// part fetches one Packages file, in the smallest form that is listed.
func (c *Client) part(ctx context.Context, r *Release, folder string) (part, error) {
	plain := folder + "Packages"
	for _, name := range []string{plain + ".xz", plain + ".gz", plain} {
		f, listed := r.file(name)
		if !listed {
			continue
		}
		data, err := c.fetch().Get(ctx, r.object(name, f))
		if err != nil {
			return part{}, indexError(r, name, err)
		}
		p := part{path: name, data: data, size: -1}
		if whole, listed := r.file(plain); listed {
			p.size = whole.Size
		}
		return p, nil
	}
	return part{}, fmt.Errorf("its Release of %s lists no %s in a form known here (.xz, .gz, plain): %w", stamp(r.Date), plain, ErrMismatch)
}

// file looks a path up; flat repositories may list it with "./" before it.
func (r *Release) file(name string) (File, bool) {
	if f, ok := r.Files[name]; ok {
		return f, true
	}
	f, ok := r.Files["./"+name]
	return f, ok
}

// object says where an index lies: on each mirror first by its digest, a name
// under which a mirror in the middle of a sync has old and new both, then by
// its own.
func (r *Release) object(name string, f File) fetch.Object {
	o := fetch.Object{Name: r.Suite.Name + "/" + name, SHA256: f.SHA256, Size: f.Size}
	hashed := r.Suite.addresses(name[:strings.LastIndexByte(name, '/')+1] + "by-hash/SHA256/" + f.SHA256)
	for i, plain := range r.Suite.addresses(name) {
		if r.AcquireByHash {
			o.URLs = append(o.URLs, hashed[i])
		}
		o.URLs = append(o.URLs, plain)
	}
	return o
}

// indexError marks the errors that say: the archive cannot prove this index.
func indexError(r *Release, name string, err error) error {
	var failed *fetch.Error
	if !errors.As(err, &failed) {
		return err
	}
	missing := true
	for _, a := range failed.Attempts {
		missing = missing && errors.Is(a.Err, fs.ErrNotExist)
	}
	if missing || errors.Is(err, fetch.ErrChecksum) {
		return &MismatchError{Suite: r.Suite.Name, Date: r.Date, Path: name, Err: failed}
	}
	return err
}

// MismatchError says which index no mirror has as its Release lists it. It is
// an [ErrMismatch], and holds a [fetch.ChecksumError] with both digests where a
// mirror had other bytes.
type MismatchError struct {
	Suite string
	Date  time.Time // of the Release
	Path  string    // below the suite's folder
	Err   *fetch.Error
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s does not match its Release of %s: %s: wait until the archive is in step, or add another mirror",
		e.Path, stamp(e.Date), e.Err.Tried())
}

// Is reports whether target is [ErrMismatch].
func (e *MismatchError) Is(target error) bool { return target == ErrMismatch }

// Unwrap returns what the mirrors said.
func (e *MismatchError) Unwrap() error { return e.Err }
