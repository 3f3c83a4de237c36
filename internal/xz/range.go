package xz

// chunkInput is the room for one LZMA2 chunk's compressed bytes, of which
// there are at most as many. An index of type uint16 is always inside it.
type chunkInput [1 << 16]byte

// rangeCoder reads bits of uneven probability from a chunk. The position in
// the chunk may run past its end, and wrap around, in data that are corrupt:
// whoever decodes compares it at the end.
//
// It is passed and returned by value throughout, so that the compiler keeps
// its four fields in registers; behind a pointer they would live in memory,
// at half the speed.
type rangeCoder struct {
	in        *chunkInput
	rng, code uint32
	pos       uint32 // bytes used up
}

// refill takes in another byte where the range is short of bits. It comes
// before each bit.
func (c rangeCoder) refill() rangeCoder {
	if c.rng < 1<<24 {
		c.rng <<= 8
		c.code = c.code<<8 | uint32(c.in[uint16(c.pos)])
		c.pos++
	}
	return c
}

// bound splits the range for a bit that is zero with probability p: it is
// zero if code is below. A bit that decides what comes next is decoded by a
// comparison with it and zero or one. In a function that returned the bit the
// comparison would be made twice, and each cost a jump.
func (c rangeCoder) bound(p uint16) uint32 { return c.rng >> probBits * uint32(p) }

// zero takes a zero bit, and adapts its probability p.
func (c rangeCoder) zero(p *uint16, bound uint32) rangeCoder {
	c.rng = bound
	*p += (probOne - *p) >> moveBits
	return c
}

// one takes a one bit, and adapts the probability p of a zero bit.
func (c rangeCoder) one(p *uint16, bound uint32) rangeCoder {
	c.rng -= bound
	c.code -= bound
	*p -= *p >> moveBits
	return c
}

// afterZero turns a probability's step down into its step up: p-(p>>5) is the
// new one after a one bit, p-((p+afterZero)>>5) after a zero bit.
const afterZero = 1<<32 - probOne + 1<<moveBits - 1

// bit decodes a bit that is data, which no processor can guess, and so without
// a branch. It takes the bit's probability and returns the new one.
//
// The compiler makes a conditional move of each if here: as long as it
// assigns one variable, and the bit comes from a constant. With arithmetic in
// place of the first, or all in one if, decoding takes a third longer; the
// benchmarks guard this.
func (c rangeCoder) bit(p uint32) (rangeCoder, uint16, uint) {
	bit, code, bound := uint(1), c.code, c.rng>>probBits*p
	if code < bound {
		bit = 0
	}
	c.rng -= bound
	c.code -= bound
	if code < bound {
		c.rng = bound
	}
	if code < bound {
		c.code = code
	}
	return c, uint16(p - uint32(int32(p+uint32(bit-1)&afterZero)>>moveBits)), bit
}

// bitAhead is bit for a node of a tree whose children have the probabilities
// p0 and p1: it returns the chosen one as well. Both are loaded before the
// bit is known, so that the next bit need not wait for memory.
func (c rangeCoder) bitAhead(p, p0, p1 uint32) (rangeCoder, uint16, uint32, uint) {
	bit, code, bound := uint(1), c.code, c.rng>>probBits*p
	if code < bound {
		bit = 0
	}
	c.rng -= bound
	c.code -= bound
	if code < bound {
		p1 = p0
	}
	if code < bound {
		c.rng = bound
	}
	if code < bound {
		c.code = code
	}
	return c, uint16(p - uint32(int32(p+uint32(bit-1)&afterZero)>>moveBits)), p1, bit
}

// tree256 decodes a tree of eight bits and returns the leaf's number, with the
// tree's size added. It is unrolled, as other trees are where they are used:
// that makes decoding 4% faster and lets the compiler prove that no index is
// outside.
func (c rangeCoder) tree256(t *[256]uint16) (rangeCoder, uint) {
	var n, bit uint
	c, p := c.refill(), uint32(t[1])
	c, t[1], p, n = c.bitAhead(p, uint32(t[2]), uint32(t[3]))
	n += 2
	c = c.refill()
	c, t[n], p, bit = c.bitAhead(p, uint32(t[n*2]), uint32(t[n*2+1]))
	n = n*2 + bit
	c = c.refill()
	c, t[n], p, bit = c.bitAhead(p, uint32(t[n*2]), uint32(t[n*2+1]))
	n = n*2 + bit
	c = c.refill()
	c, t[n], p, bit = c.bitAhead(p, uint32(t[n*2]), uint32(t[n*2+1]))
	n = n*2 + bit
	c = c.refill()
	c, t[n], p, bit = c.bitAhead(p, uint32(t[n*2]), uint32(t[n*2+1]))
	n = n*2 + bit
	c = c.refill()
	c, t[n], p, bit = c.bitAhead(p, uint32(t[n*2]), uint32(t[n*2+1]))
	n = n*2 + bit
	c = c.refill()
	c, t[n], p, bit = c.bitAhead(p, uint32(t[n*2]), uint32(t[n*2+1]))
	n = n*2 + bit
	c = c.refill()
	c, t[n], bit = c.bit(p)
	return c, n*2 + bit
}
