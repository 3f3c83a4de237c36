package elf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Bounds on what a file may make us do. Real files stay far below.
const (
	maxHeaders = 64 << 10 // bytes of program headers; the kernel's own bound
	maxDynamic = 1 << 20  // bytes of the dynamic segment
	maxRecords = 1 << 16  // version records of one kind
	maxString  = 16 << 10 // bytes of one string
	maxStrings = 4 << 20  // bytes of all strings together, since records may share them
)

// window reads a file in small pieces that lie near each other.
type window struct {
	r       io.ReaderAt
	size    int64
	off     int64 // file offset of buf[0]
	n       int   // bytes valid in buf
	strings int   // bytes of strings read so far
	buf     [1024]byte
}

// at returns n bytes at a file offset, valid until the next call. n is at
// most the window's length.
func (w *window) at(off int64, n int) ([]byte, error) {
	if off < 0 || off > w.size || int64(n) > w.size-off {
		return nil, &FormatError{off, fmt.Sprintf("%d bytes wanted, the file has %d", n, w.size)}
	}
	if off < w.off || off+int64(n) > w.off+int64(w.n) {
		if err := w.fill(off); err != nil {
			return nil, err
		}
	}
	i := int(off - w.off)
	return w.buf[i : i+n], nil
}

func (w *window) fill(off int64) error {
	w.off, w.n = off, 0
	want := int(min(int64(len(w.buf)), w.size-off))
	n, err := w.r.ReadAt(w.buf[:want], off)
	if n < want {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read ELF file at offset %d: %w", off, err)
	}
	w.n = n
	return nil
}

// text reads the string that ends with a zero byte, at a file offset, within
// limit bytes.
func (w *window) text(off, limit int64) (string, error) {
	var long []byte
	for start := off; ; {
		left := min(limit, maxString) - (off - start)
		chunk := min(left, int64(len(w.buf)/4), w.size-off)
		if chunk <= 0 {
			return "", &FormatError{start, "a string without end"}
		}
		b, err := w.at(off, int(chunk))
		if err != nil {
			return "", err
		}
		i := bytes.IndexByte(b, 0)
		if i >= 0 {
			b = b[:i]
		}
		if w.strings += len(b) + 1; w.strings > maxStrings {
			return "", &FormatError{start, fmt.Sprintf("more than %d bytes of names", maxStrings)}
		}
		if i >= 0 {
			return string(append(long, b...)), nil
		}
		long = append(long, b...)
		off += chunk
	}
}

// word reads an address-sized value from b.
func word(order binary.ByteOrder, class int, b []byte) uint64 {
	if class == 32 {
		return uint64(order.Uint32(b))
	}
	return order.Uint64(b)
}
