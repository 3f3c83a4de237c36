// Package gunzip reads gzip files (RFC 1952), which layers, control archives and
// package lists are. Reading an image back is decompressing for the most part, and
// this takes half the time of the libraries that there are: it decodes from a
// buffer that holds many symbols into one that holds the window too, so that
// neither is asked for within a symbol. Writing is left to a library.
//
// Start with [NewReader].
package gunzip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	// window is how far back DEFLATE can refer (RFC 1951, section 2), in bytes.
	window = 32 << 10
	// outSize is the length of the buffer of what was decoded: the window, and
	// what comes after it at a time.
	outSize = 256 << 10
	// outSlack is what one turn of the fast loop may write: two literals, the
	// longest match, and what is copied beyond its end.
	outSlack = 2 + 258 + 16
	inSize   = 64 << 10
	// inSlack is what one turn of the fast loop may look at: two words.
	inSlack = 16
	// maxIdle is how many empty reads of the source are borne.
	maxIdle = 100
)

// Reader decompresses. It reads all members of a file, one after the other, and
// verifies the checksum and the length of each.
type Reader struct {
	input
	state state
	last  bool // the block is the last of its member
	any   bool // a member was read
	err   error

	out   []byte
	read  int // out up to here was given to the caller
	write int // out up to here is decoded
	begin int // where in out the member begins, so far as it is still there

	stored int // bytes of a stored block that are to come
	codes  codes
	sum    uint32 // CRC-32 of the member up to summed
	summed int
	size   uint32 // of the member up to summed, modulo 2^32
	told   int64  // bytes given to the caller, for errors
}

// state is what comes next in the file.
type state uint8

const (
	atHeader state = iota
	atBlock
	inStored
	inCodes
	atTrailer
)

// NewReader begins to read a file and reads its header. What it returns reads r
// through a buffer of its own, beyond the end of the file too.
func NewReader(r io.Reader) (*Reader, error) {
	z := new(Reader)
	if err := z.Reset(r); err != nil {
		return nil, err
	}
	return z, nil
}

// Reset begins to read another file as NewReader does, with the memory that the
// reader has. The zero value can be reset.
func (z *Reader) Reset(r io.Reader) error {
	in, out := z.buf, z.out
	if in == nil {
		in, out = make([]byte, inSize), make([]byte, outSize)
	}
	z.input = input{source: r, buf: in}
	z.out, z.read, z.write, z.begin = out, 0, 0, 0
	z.state, z.last, z.any, z.err, z.told = atHeader, false, false, nil, 0
	if err := z.header(); err != nil {
		z.err = z.explain(err)
		return z.err
	}
	return nil
}

// explain says where an error of the format was. One of the source stays as it is.
func (z *Reader) explain(err error) error {
	if err == io.EOF || z.failed != io.EOF && errors.Is(err, z.failed) {
		return err
	}
	if !z.any {
		return fmt.Errorf("gzip: %w", err)
	}
	return fmt.Errorf("gzip: after %d bytes: %w", z.told+int64(z.write-z.read), err)
}

// Read implements [io.Reader]. A file that is cut gives [io.ErrUnexpectedEOF],
// wrapped.
func (z *Reader) Read(p []byte) (int, error) {
	for z.read == z.write && len(p) > 0 {
		if z.err != nil {
			return 0, z.err
		}
		z.fill()
	}
	n := copy(p, z.out[z.read:z.write])
	z.read += n
	z.told += int64(n)
	return n, nil
}

// fill decodes until the buffer is full, or an error or the end.
func (z *Reader) fill() {
	if z.write > window {
		cut := z.write - window
		copy(z.out, z.out[cut:z.write])
		z.begin = max(0, z.begin-cut)
		z.read, z.write, z.summed = window, window, window
	}
	for z.err == nil && z.write <= len(z.out)-outSlack {
		z.err = z.step()
	}
	z.addUp()
	if z.err != nil {
		z.err = z.explain(z.err)
	}
}

// addUp brings the checksum up to what is decoded.
func (z *Reader) addUp() {
	data := z.out[z.summed:z.write]
	z.sum = crc32.Update(z.sum, crc32.IEEETable, data)
	z.size += uint32(len(data))
	z.summed = z.write
}

// step does the next thing that the file has.
func (z *Reader) step() error {
	switch z.state {
	case atHeader:
		return z.header()
	case atBlock:
		return z.block()
	case inStored:
		return z.copyStored()
	case inCodes:
		return z.decode()
	default:
		return z.trailer()
	}
}

// header reads a member's header. There need be no further one.
func (z *Reader) header() error {
	if err := z.need(1); err == io.EOF && z.any {
		return io.EOF
	}
	h, err := z.take(10)
	if err != nil {
		return err
	}
	const deflate = 8
	if h[0] != 0x1f || h[1] != 0x8b || h[2] != deflate {
		return errors.New("header: not gzip, or damaged")
	}
	const crc, extra, name, comment, reserved = 1 << 1, 1 << 2, 1 << 3, 1 << 4, 0xe0
	flags := h[3]
	if flags&reserved != 0 {
		return fmt.Errorf("header: flags %#x are not known", flags)
	}
	sum := crc32.ChecksumIEEE(h)
	if flags&extra != 0 {
		n, err := z.take(2)
		if err != nil {
			return err
		}
		sum = crc32.Update(sum, crc32.IEEETable, n)
		for left := int(binary.LittleEndian.Uint16(n)); left > 0; {
			part, err := z.take(min(left, 1<<10))
			if err != nil {
				return err
			}
			sum = crc32.Update(sum, crc32.IEEETable, part)
			left -= len(part)
		}
	}
	for _, text := range []byte{name, comment} {
		for flags&text != 0 {
			c, err := z.take(1)
			if err != nil {
				return err
			}
			sum = crc32.Update(sum, crc32.IEEETable, c)
			if c[0] == 0 {
				break
			}
		}
	}
	if flags&crc != 0 {
		c, err := z.take(2)
		if err != nil {
			return err
		}
		if binary.LittleEndian.Uint16(c) != uint16(sum) {
			return errors.New("header: its checksum is another")
		}
	}
	z.any, z.state, z.last = true, atBlock, false
	z.begin, z.sum, z.size = z.write, 0, 0
	z.summed = z.write
	return nil
}

// block reads a block's header (RFC 1951, section 3.2.3).
func (z *Reader) block() error {
	if z.last {
		z.state = atTrailer
		return nil
	}
	b, err := z.bitsOf(3)
	if err != nil {
		return err
	}
	z.last = b&1 != 0
	switch b >> 1 {
	case 0:
		z.align()
		n, err := z.take(4)
		if err != nil {
			return err
		}
		length, complement := binary.LittleEndian.Uint16(n), binary.LittleEndian.Uint16(n[2:])
		if length != ^complement {
			return errors.New("the length of a stored block is damaged")
		}
		z.stored, z.state = int(length), inStored
	case 1:
		z.state = inCodes
		return z.codes.fixed()
	case 2:
		z.state = inCodes
		return z.dynamic()
	default:
		return errors.New("a block of a kind that is not known")
	}
	return nil
}

// copyStored copies what a stored block has, so far as there is room.
func (z *Reader) copyStored() error {
	if z.stored == 0 {
		z.state = atBlock
		return nil
	}
	if err := z.need(1); err != nil {
		return unexpected(err)
	}
	n := copy(z.out[z.write:min(len(z.out), z.write+z.stored)], z.buf[z.pos:z.end])
	z.pos += n
	z.write += n
	z.stored -= n
	return nil
}

// trailer holds a member against its checksum and length.
func (z *Reader) trailer() error {
	z.align()
	t, err := z.take(8)
	if err != nil {
		return err
	}
	z.addUp()
	if binary.LittleEndian.Uint32(t) != z.sum || binary.LittleEndian.Uint32(t[4:]) != z.size {
		return errors.New("the checksum or the length is another")
	}
	z.state = atHeader
	return nil
}
