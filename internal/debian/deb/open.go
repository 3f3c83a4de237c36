package deb

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Reader reads one package. It is for one goroutine.
type Reader struct {
	name    string
	opt     Options
	ar      *arReader
	control *Control

	memberName string // of data.tar: "data.tar.xz"
	data       *member
	tar        *tar.Reader
	tree       *tree
	entries    int
	pathBytes  int64
	current    *Header
	buf        []byte
	err        error // final: io.EOF or *Error
}

// Open reads a package from r up to the first entry of its data member: the
// container's head and the whole control member, which it checks against
// o.Name, o.Version and o.Arch. name is for messages: the file's name.
//
// Reading stops with ctx's error once it is done. The caller closes the
// Reader, and r, which is read to its end by [Reader.Next].
func Open(ctx context.Context, r io.Reader, name string, o Options) (*Reader, error) {
	d := &Reader{
		name: name, opt: o.withDefaults(),
		ar: newArReader(stoppable{ctx.Err, r}),
	}
	d.tree = newTree(d.opt.MaxEntries)
	if err := d.openVersion(); err != nil {
		return nil, err
	}
	if err := d.openControl(ctx); err != nil {
		return nil, err
	}
	if err := d.openData(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// Control is the control member's content.
func (r *Reader) Control() *Control { return r.control }

// Close frees the decoder. It does not close the reader given to Open.
func (r *Reader) Close() error {
	if r.data != nil {
		r.data.close()
		r.data = nil
	}
	if r.err == nil {
		r.err = r.fail("", "", errors.New("read after Close"))
	}
	return nil
}

// openVersion reads debian-binary: a line "2.<minor>", then lines to ignore.
func (r *Reader) openVersion() error {
	name, err := r.ar.next()
	if err != nil {
		return r.fail("", "", unexpected(err))
	}
	if name != "debian-binary" {
		return r.fail("", "", fmt.Errorf("first member is %s: want debian-binary", printable(name)))
	}
	var text [64]byte
	n, err := io.ReadFull(r.ar, text[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return r.fail(name, "", err)
	}
	line, _, found := strings.Cut(string(text[:n]), "\n")
	minor, two := strings.CutPrefix(line, "2.")
	if !found || !two || minor == "" || strings.Trim(minor, "0123456789") != "" {
		return r.fail(name, "", fmt.Errorf("format version %s: want 2.0", printable(line)))
	}
	return nil
}

// nextPart skips to the next member whose name does not begin with an
// underscore; deb(5) reserves those for additions that readers ignore.
func (r *Reader) nextPart(want string) (name, ending string, err error) {
	for {
		name, err = r.ar.next()
		if err == io.EOF {
			return "", "", r.fail("", "", fmt.Errorf("no %s member: %w", want, io.ErrUnexpectedEOF))
		}
		if err != nil {
			return "", "", r.fail("", "", err)
		}
		if !strings.HasPrefix(name, "_") {
			break
		}
	}
	ending, ok := strings.CutPrefix(name, want)
	if !ok || ending != "" && ending[0] != '.' {
		return "", "", r.fail("", "", fmt.Errorf("member %s where %s is due", printable(name), want))
	}
	return name, ending, nil
}

func (r *Reader) openControl(ctx context.Context) error {
	name, ending, err := r.nextPart("control.tar")
	if err != nil {
		return err
	}
	m, err := openMember(ctx, r.ar, ending, r.opt.MaxControl, r.opt.MaxRatio, 1)
	if err != nil {
		return r.fail(name, "", err)
	}
	defer m.close()
	c, path, err := readControl(m)
	if err == nil {
		path = ""
		err = m.finish()
	}
	if err == nil {
		path = "control"
		err = c.check(r.opt)
	}
	if err != nil {
		return r.fail(name, path, err)
	}
	r.control = c
	return nil
}

func (r *Reader) openData(ctx context.Context) error {
	name, ending, err := r.nextPart("data.tar")
	if err != nil {
		return err
	}
	m, err := openMember(ctx, r.ar, ending, r.opt.MaxUnpacked, r.opt.MaxRatio, r.opt.Workers)
	if err != nil {
		return r.fail(name, "", err)
	}
	r.memberName, r.data, r.tar = name, m, tar.NewReader(m)
	return nil
}

// finish reads the file from the last entry to its end.
func (r *Reader) finish() error {
	if err := r.data.finish(); err != nil {
		return r.fail(r.memberName, "", err)
	}
	for {
		name, err := r.ar.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return r.fail("", "", err)
		}
		// deb(5) lets later versions append members, and signers do.
		for _, once := range []string{"debian-binary", "control.tar", "data.tar"} {
			if strings.HasPrefix(name, once) {
				return r.fail("", "", fmt.Errorf("a second %s member", printable(name)))
			}
		}
	}
}

func (r *Reader) fail(member, path string, err error) error {
	return &Error{Deb: r.name, Member: member, Path: path, Err: err}
}

// stoppable stops reading once err says why.
type stoppable struct {
	err func() error
	r   io.Reader
}

func (s stoppable) Read(p []byte) (int, error) {
	if err := s.err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
