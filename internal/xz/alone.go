package xz

import (
	"context"
	"encoding/binary"
	"io"
	"math/bits"
)

// aloneHeaderSize: properties, dictionary size, plain size.
const aloneHeaderSize = 1 + 4 + 8

// NewLZMAReader returns a Reader of r, a file in the older format .lzma, also
// known as LZMA_alone, which the .debs of some old releases hold. The format
// has no check: data that are wrong are found by luck only.
//
// It is decoded bit by bit, at about half the speed of .xz and on one core.
func NewLZMAReader(ctx context.Context, r io.Reader, o Options) (*Reader, error) {
	in := newInput(r)
	p, err := in.take(aloneHeaderSize)
	if err != nil {
		return nil, errAt(0, "header", err)
	}
	a := &alone{dictSize: binary.LittleEndian.Uint32(p[1:]), size: int64(binary.LittleEndian.Uint64(p[5:]))}
	if !a.setProperties(p[0]) || !plausibleDict(a.dictSize) || a.size < unknownSize || a.size >= maxLZMA {
		return nil, errAt(0, "header", ErrFormat)
	}
	a.dictSize = max(a.dictSize, minDict)
	a.reset()
	return startReader(ctx, in, o, a.run), nil
}

const (
	minDict = 4 << 10 // the smallest dictionary, in bytes, that LZMA has
	maxLZMA = 1 << 38 // a plain size that xz takes for a sign of another format
)

// plausibleDict reports whether an encoder writes this dictionary size: a
// power of two, half as much again, or the largest number. The format has no
// magic bytes, and xz tells it from others by this.
func plausibleDict(size uint32) bool {
	odd := size >> (bits.TrailingZeros32(size) & 31)
	return odd == 1 || odd == 3 || size == 1<<32-1
}

// alone decodes .lzma.
type alone struct {
	model
	dictSize uint32
	size     int64 // of the plain data in bytes, or unknownSize

	in        *input
	rng, code uint32
	err       error // why in ended, once it has

	dict lzma2 // for its window
}

// aloneStep is about how many bytes are decoded between two looks at the
// context, the window and the output.
const aloneStep = 64 << 10

// run decodes the file behind its header.
func (a *alone) run(ctx context.Context, s *sequence) error {
	a.in = s.in
	w, err := newWindow(s.mem, a.dictSize, a.size)
	if err != nil {
		return errAt(0, "header", err)
	}
	defer w.free()
	out := &output{seq: s}
	d := &a.dict
	d.begin(nil, a.dictSize)
	if err := a.startRange(); err != nil {
		return errAt(s.in.offset(), "LZMA data", err)
	}
	for total, end := int64(0), false; !end; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		step := aloneStep
		if a.size != unknownSize {
			step = int(min(int64(step), a.size-total))
		}
		if err := w.reserve(ctx, d, step+maxMatch); err != nil {
			return err
		}
		from := d.pos
		for d.pos-from < step && !end {
			if end, err = a.symbol(maxLeft(a.size, total+int64(d.pos-from))); err != nil {
				return errAt(s.in.offset(), "LZMA data", err)
			}
		}
		total += int64(d.pos - from)
		if !end && total == a.size {
			end = true
			if err := a.finish(); err != nil {
				return errAt(s.in.offset(), "LZMA data", err)
			}
		}
		if err := out.write(ctx, d.buf[from:d.pos]); err != nil {
			return err
		}
	}
	if err := s.in.want(1); err != io.EOF {
		if err == nil {
			err = corrupt("more data behind their end")
		}
		return errAt(s.in.offset(), "LZMA data", err)
	}
	return out.flush(ctx)
}

// maxLeft is how many bytes a symbol may add.
func maxLeft(size, total int64) int {
	if size == unknownSize {
		return maxMatch
	}
	return int(min(maxMatch, size-total))
}

// startRange reads the five bytes that the range coder starts with.
func (a *alone) startRange() error {
	p, err := a.in.take(5)
	if err != nil {
		return err
	}
	if p[0] != 0 {
		return corrupt("their first byte is %02x, not 00", p[0])
	}
	a.rng, a.code = 1<<32-1, binary.BigEndian.Uint32(p[1:])
	return nil
}

// finish ends data whose size the header told: there may be a marker, too.
func (a *alone) finish() error {
	if a.normalize(); a.err != nil || a.code == 0 {
		return a.err
	}
	end, err := a.symbol(0)
	if err == nil && !end {
		err = corrupt("more data than the header's %d bytes", a.size)
	}
	return err
}

func (a *alone) normalize() {
	if a.rng < 1<<24 {
		b, err := a.in.byte()
		if err != nil && a.err == nil {
			a.err = err
		}
		a.rng, a.code = a.rng<<8, a.code<<8|uint32(b)
	}
}

// bit decodes one bit and adapts its probability.
func (a *alone) bit(p *uint16) uint32 {
	a.normalize()
	bound := a.rng >> probBits * uint32(*p)
	if a.code < bound {
		a.rng = bound
		*p += (probOne - *p) >> moveBits
		return 0
	}
	a.rng -= bound
	a.code -= bound
	*p -= *p >> moveBits
	return 1
}

// tree decodes n bits, the highest first.
func (a *alone) tree(probs []uint16, n int) uint32 {
	x := uint32(1)
	for range n {
		x = x<<1 | a.bit(&probs[x])
	}
	return x - 1<<n
}

// reverse decodes n bits, the lowest first.
func (a *alone) reverse(probs []uint16, n int) uint32 {
	x, v := uint32(1), uint32(0)
	for i := range n {
		b := a.bit(&probs[x])
		x = x<<1 | b
		v |= b << i
	}
	return v
}

// symbol decodes a literal or a match of at most left bytes into the window,
// or the end marker.
func (a *alone) symbol(left int) (end bool, err error) {
	d := &a.dict
	position := uint32(d.pos-d.base) & (1<<a.pb - 1)
	if a.bit(&a.isMatch[a.state][position]) == 0 {
		if left < 1 {
			return false, corrupt("more data than the header's %d bytes", a.size)
		}
		a.literalByte()
		return false, a.err
	}
	var length int
	if a.bit(&a.isRep[a.state]) == 0 {
		a.rep3, a.rep2, a.rep1 = a.rep2, a.rep1, a.rep0
		length = a.length(&a.match, position)
		a.state = uint(afterMatch[a.state])
		a.rep0 = a.distance(length)
		if a.rep0 == 1<<32-1 && a.err == nil {
			return true, a.endMarker(left)
		}
	} else {
		length = a.repeat(position)
	}
	switch {
	case a.err != nil:
		return false, a.err
	case a.rep0 >= a.dictSize || int64(a.rep0) >= int64(d.pos-d.base):
		return false, corrupt("a match %d bytes back is outside of the dictionary", int64(a.rep0)+1)
	case length > left:
		return false, corrupt("more data than the header's %d bytes", a.size)
	}
	for range length {
		d.buf[d.pos] = d.buf[d.pos-int(a.rep0)-1]
		d.pos++
	}
	return false, nil
}

// repeat decodes a match at one of the last four distances, which becomes
// rep0, and returns its length.
func (a *alone) repeat(position uint32) int {
	if a.bit(&a.isRep0[a.state]) == 0 {
		if a.bit(&a.isRep0Long[a.state][position]) == 0 {
			a.state = uint(afterShortRep[a.state])
			return 1
		}
	} else if a.bit(&a.isRep1[a.state]) == 0 {
		a.rep0, a.rep1 = a.rep1, a.rep0
	} else if a.bit(&a.isRep2[a.state]) == 0 {
		a.rep0, a.rep1, a.rep2 = a.rep2, a.rep0, a.rep1
	} else {
		a.rep0, a.rep1, a.rep2, a.rep3 = a.rep3, a.rep0, a.rep1, a.rep2
	}
	a.state = uint(afterRep[a.state])
	return a.length(&a.rep, position)
}

// literalByte decodes a byte.
func (a *alone) literalByte() {
	d := &a.dict
	var before uint32
	if d.pos > d.base {
		before = uint32(d.buf[d.pos-1])
	}
	ctx := uint32(d.pos-d.base)&(1<<a.lp-1)<<a.lc | before>>(8-a.lc)
	probs := &a.literal[ctx]
	x := uint32(1)
	if a.state >= literalStates {
		expected := uint32(d.buf[d.pos-int(a.rep0)-1])
		for same := true; same && x < 0x100; {
			want := expected >> 7 & 1
			expected <<= 1
			bit := a.bit(&probs.matched[want][x])
			x = x<<1 | bit
			same = bit == want
		}
	}
	for x < 0x100 {
		x = x<<1 | a.bit(&probs.plain[x])
	}
	d.buf[d.pos] = byte(x)
	d.pos++
	a.state = uint(afterLiteral[a.state])
}

// length decodes a match's length.
func (a *alone) length(l *lengthModel, position uint32) int {
	if a.bit(&l.choice) == 0 {
		return 2 + int(a.tree(l.low[position][:], 3))
	}
	if a.bit(&l.choice2) == 0 {
		return 10 + int(a.tree(l.mid[position][:], 3))
	}
	return 18 + int(a.tree(l.high[:], 8))
}

// distance decodes a match's distance, less one.
func (a *alone) distance(length int) uint32 {
	slot := a.tree(a.slot[min(length-2, 3)][:], 6)
	if slot < 4 {
		return slot
	}
	n := int(slot>>1 - 1)
	base := (2 | slot&1) << n
	if slot < 14 {
		return base + a.reverse(a.special[slot][:], n)
	}
	var direct uint32
	for range n - 4 {
		a.normalize()
		a.rng >>= 1
		bit := uint32(0)
		if a.code >= a.rng {
			a.code -= a.rng
			bit = 1
		}
		direct = direct<<1 | bit
	}
	return base + direct<<4 + a.reverse(a.align[:], 4)
}

// endMarker ends the data at a marker, with left bytes missing.
func (a *alone) endMarker(left int) error {
	if a.size != unknownSize && left > 0 {
		return corrupt("end marker before the header's %d bytes", a.size)
	}
	if a.normalize(); a.err == nil && a.code != 0 {
		return corrupt("their end does not decode")
	}
	return a.err
}
