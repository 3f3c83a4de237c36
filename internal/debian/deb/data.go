package deb

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"distroless/internal/hugepage"
)

// Kind is what a path is.
type Kind uint8

// The kinds of entry that a package may hold.
const (
	Dir Kind = iota + 1
	File
	Symlink
	Hardlink
)

// String is the kind in words, for messages.
func (k Kind) String() string {
	switch k {
	case Dir:
		return "directory"
	case File:
		return "regular file"
	case Symlink:
		return "symlink"
	case Hardlink:
		return "hard link"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Header describes one entry of data.tar.
type Header struct {
	Path     string // canonical and absolute: "/usr/bin/x"; "/" for the root
	Kind     Kind
	Mode     uint32 // Unix permission bits, 07777: set-id and sticky bits included
	UID, GID int
	ModTime  int64 // Unix time in seconds
	Size     int64 // bytes of content; 0 for all but a File
	// Link is a Symlink's target as it stands, or the canonical absolute path
	// of the File, always an earlier entry, whose content a Hardlink shares.
	Link string
	// Xattrs holds extended attributes by name ("security.capability");
	// nil where there are none.
	Xattrs map[string]string
}

const xattrPrefix = "SCHILY.xattr."

// Next moves to the next entry. After the last one it reads the rest of the
// file, checks it, and returns io.EOF: only then was the package whole. The
// header is the caller's to keep.
//
// An error is an [*Error], final, and names the entry. Refused are: names that
// are absolute, have "..", control characters or a size beyond the limits;
// device nodes, fifos and sparse files; symlinks that climb above the root;
// hard links to anything but an earlier file of the package; paths below
// something that is not a directory; paths listed twice, but for a directory
// repeated unchanged; damaged, truncated, oversized or trailing data.
func (r *Reader) Next() (*Header, error) {
	if r.err != nil {
		return nil, r.err
	}
	h, path, err := r.next()
	switch {
	case err == io.EOF:
		r.err = io.EOF
		if err := r.finish(); err != nil {
			r.err = err
		}
	case err != nil:
		r.err = r.fail(r.memberName, path, err)
	}
	r.current = h
	return h, r.err
}

// next reads one entry; path is its name for a message.
func (r *Reader) next() (h *Header, path string, err error) {
	r.data.zeros = 0
	th, err := r.tar.Next()
	if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // cleanName says it better
		if err != io.EOF {
			err = fmt.Errorf("after %d entries: %w", r.entries, unexpected(err))
		}
		return nil, "", err
	}
	r.entries++
	if r.pathBytes += int64(len(th.Name) + len(th.Linkname)); r.pathBytes > r.opt.MaxPathBytes {
		return nil, th.Name, fmt.Errorf("the paths of the package take more than %d bytes", r.opt.MaxPathBytes)
	}
	if h, err = convert(th, r.opt.MaxPath); err != nil {
		return nil, th.Name, err
	}
	if h.Size > r.opt.MaxUnpacked-r.data.out {
		return nil, th.Name, fmt.Errorf("claims %d bytes: a package may unpack to %d", h.Size, r.opt.MaxUnpacked)
	}
	if err := r.tree.add(h); err != nil {
		return nil, th.Name, err
	}
	return h, th.Name, nil
}

// convert checks what can be checked of one tar header by itself.
func convert(th *tar.Header, maxPath int) (*Header, error) {
	path, err := cleanName(th.Name, maxPath)
	if err != nil {
		return nil, err
	}
	h := &Header{
		Path: path, Mode: uint32(th.Mode & 0o7777), UID: th.Uid, GID: th.Gid,
		ModTime: th.ModTime.Unix(), Size: th.Size,
	}
	if h.Kind, err = kindOf(th); err != nil {
		return nil, err
	}
	switch {
	case h.Size < 0 || h.Kind != File && h.Size != 0:
		return nil, fmt.Errorf("%s with a size of %d", h.Kind, h.Size)
	case h.Kind == File && strings.HasSuffix(th.Name, "/"):
		return nil, errors.New("regular file whose name ends in a slash")
	case th.Mode < 0 || h.UID < 0 || h.GID < 0 || h.UID > math.MaxInt32 || h.GID > math.MaxInt32:
		return nil, fmt.Errorf("mode %o, owner %d:%d out of range", th.Mode, h.UID, h.GID)
	case h.ModTime < 0 || h.ModTime >= 1<<33:
		return nil, fmt.Errorf("time %d: want seconds from 1970 to 2242", h.ModTime)
	}
	switch h.Kind {
	case Symlink:
		h.Link = th.Linkname
		err = checkTarget(h.Path, h.Link, maxPath)
	case Hardlink:
		if h.Link, err = cleanName(th.Linkname, maxPath); err != nil {
			err = fmt.Errorf("hard link target %s: %w", printable(th.Linkname), err)
		}
	}
	if err != nil {
		return nil, err
	}
	for key, value := range th.PAXRecords {
		if name, ok := strings.CutPrefix(key, xattrPrefix); ok {
			if h.Xattrs == nil {
				h.Xattrs = map[string]string{}
			}
			h.Xattrs[name] = value
		}
	}
	return h, nil
}

// kindOf maps tar's types. archive/tar reads sparse files as if they were
// plain; a few bytes of header would then claim terabytes, so they are refused.
func kindOf(th *tar.Header) (Kind, error) {
	for key := range th.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return 0, errors.New("sparse file: dpkg-deb never writes one")
		}
	}
	switch th.Typeflag {
	case tar.TypeReg:
		return File, nil
	case tar.TypeDir:
		return Dir, nil
	case tar.TypeSymlink:
		return Symlink, nil
	case tar.TypeLink:
		return Hardlink, nil
	case tar.TypeChar, tar.TypeBlock:
		return 0, errors.New("device node: a package may not bring one")
	case tar.TypeFifo:
		return 0, errors.New("fifo: a package may not bring one")
	case tar.TypeGNUSparse:
		return 0, errors.New("sparse file: dpkg-deb never writes one")
	}
	return 0, fmt.Errorf("tar entry of type %q: want a file, directory or link", th.Typeflag)
}

// Read reads the content of the current File; io.EOF at its end, and at once
// for other kinds.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.tar.Read(p)
	if err != nil && err != io.EOF {
		r.err = r.failCurrent(err)
		err = r.err
	}
	return n, err
}

// WriteTo writes what is left of the current File to w.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	if r.buf == nil {
		r.buf = make([]byte, 64<<10)
	}
	// The struct hides WriteTo from CopyBuffer.
	return io.CopyBuffer(w, struct{ io.Reader }{r}, r.buf)
}

// Content reads the whole content of the current File, of which nothing may
// have been read yet: to the start of buf where that has room, else into new
// memory. It returns exactly Size bytes, the caller's to keep. For other kinds
// it is empty.
func (r *Reader) Content(buf []byte) ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	if r.current == nil || r.current.Size == 0 {
		return nil, nil
	}
	// A header is cheap and memory is not: past the first megabytes the
	// content must show that it exists before room is made for all of it.
	const trust = 4 << 20
	size := r.current.Size
	if size > int64(len(buf)) {
		buf = hugepage.Make(int(min(size, trust)))
	}
	content := buf[:min(size, int64(len(buf)))]
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, r.short(err)
	}
	if int64(len(content)) == size {
		return content, nil
	}
	whole := hugepage.Make(int(size))
	n := copy(whole, content)
	if _, err := io.ReadFull(r, whole[n:]); err != nil {
		return nil, r.short(err)
	}
	return whole, nil
}

// short explains a content that ended too early, or was read before.
func (r *Reader) short(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return r.failCurrent(errors.New("content read twice, or partly read before Content"))
	}
	return err
}

func (r *Reader) failCurrent(err error) error {
	path := ""
	if r.current != nil {
		path = r.current.Path
	}
	return r.fail(r.memberName, path, err)
}
