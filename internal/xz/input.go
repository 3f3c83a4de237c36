package xz

import "io"

// input is the compressed side: a buffer that is refilled from a reader, or a
// block that is in memory as a whole, then without a reader and with the
// error for what reaches past it.
type input struct {
	r    io.Reader
	buf  []byte
	pos  int   // what of buf is used up
	base int64 // the offset of buf[0] in the file
	err  error // what the reader ended with
}

// inputSize holds a few LZMA2 chunks, which are 64 KiB at most.
const inputSize = 256 << 10

// maxEmptyReads is how often in a row a reader may return nothing and no error.
const maxEmptyReads = 100

func newInput(r io.Reader) *input {
	return &input{r: r, buf: make([]byte, 0, inputSize)}
}

// offset is the place in the file of the next byte.
func (in *input) offset() int64 { return in.base + int64(in.pos) }

// rest is what is buffered and not used up.
func (in *input) rest() []byte { return in.buf[in.pos:] }

// want buffers at least n bytes, n at most inputSize, if there are as many.
// It returns the reader's error, often io.EOF, where there are fewer.
func (in *input) want(n int) error {
	if len(in.buf)-in.pos >= n {
		return nil
	}
	if in.r == nil {
		return in.err
	}
	in.base += int64(in.pos)
	in.buf = in.buf[:copy(in.buf, in.buf[in.pos:])]
	in.pos = 0
	for empty := 0; len(in.buf) < n; {
		if in.err != nil {
			return in.err
		}
		m, err := in.r.Read(in.buf[len(in.buf):cap(in.buf)])
		in.buf, in.err = in.buf[:len(in.buf)+m], err
		if m > 0 {
			empty = 0
		} else if empty++; empty >= maxEmptyReads && err == nil {
			in.err = io.ErrNoProgress
		}
	}
	return nil
}

// take returns the next n bytes, n at most inputSize, and uses them up. They
// are valid until the next call.
func (in *input) take(n int) ([]byte, error) {
	if err := in.want(n); err != nil {
		return nil, err
	}
	p := in.buf[in.pos : in.pos+n]
	in.pos += n
	return p, nil
}

// full fills p.
func (in *input) full(p []byte) error {
	n := copy(p, in.rest())
	in.pos += n
	if n == len(p) {
		return nil
	}
	if in.err != nil {
		return in.err
	}
	m, err := io.ReadFull(in.r, p[n:])
	in.base += int64(m)
	if err != nil {
		in.err = err
		if err == io.ErrUnexpectedEOF {
			in.err = io.EOF
		}
	}
	return in.err
}

// byte returns the next byte.
func (in *input) byte() (byte, error) {
	if in.pos == len(in.buf) {
		if err := in.want(1); err != nil {
			return 0, err
		}
	}
	b := in.buf[in.pos]
	in.pos++
	return b, nil
}
