package gunzip

import "io"

// input is the file, as bytes and as bits.
type input struct {
	source io.Reader
	failed error // of the source, io.EOF at its end
	buf    []byte
	pos    int // next byte
	end    int // of what buf holds

	// bits are those that come before buf[pos], the next lowest; count of them
	// are there. Bits above are the ones that follow, or zero.
	bits  uint64
	count uint
}

// need sees to it that at least n bytes are in the buffer, n being much less than
// inSize. Where there are fewer it returns what the source said, and io.EOF is
// only returned where there are none.
func (in *input) need(n int) error {
	if in.end-in.pos >= n {
		return nil
	}
	// The bytes that bits are of stay: align gives them back.
	keep := int(in.count >> 3)
	in.end = copy(in.buf, in.buf[in.pos-keep:in.end])
	in.pos = keep
	for idle := 0; in.end-in.pos < n && in.failed == nil; {
		var m int
		m, in.failed = in.source.Read(in.buf[in.end:])
		in.end += m
		if idle++; m > 0 {
			idle = 0
		}
		if idle > maxIdle {
			in.failed = io.ErrNoProgress
		}
	}
	switch {
	case in.end-in.pos >= n:
		return nil
	case in.failed == io.EOF && in.end > in.pos:
		return io.ErrUnexpectedEOF
	}
	return in.failed
}

// take returns the next n bytes, which stay as they are until more is read. There
// must be no bits left over.
func (in *input) take(n int) ([]byte, error) {
	if err := in.need(n); err != nil {
		return nil, unexpected(err)
	}
	in.pos += n
	return in.buf[in.pos-n : in.pos], nil
}

// unexpected is the error of an end that comes too early.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// align passes over the bits up to the next byte, and gives back whole bytes.
func (in *input) align() {
	in.pos -= int(in.count >> 3)
	in.bits, in.count = 0, 0
}

// more brings at least n bits, n being at most 32, so far as there are any.
func (in *input) more(n uint) error {
	for in.count < n {
		if err := in.need(1); err != nil {
			return unexpected(err)
		}
		in.bits |= uint64(in.buf[in.pos]) << in.count
		in.pos++
		in.count += 8
	}
	return nil
}

// bitsOf takes n bits, at most 32.
func (in *input) bitsOf(n uint) (uint32, error) {
	if err := in.more(n); err != nil {
		return 0, err
	}
	v := uint32(in.bits) & (1<<n - 1)
	in.drop(n)
	return v, nil
}

func (in *input) drop(n uint) {
	in.bits >>= n
	in.count -= n
}
