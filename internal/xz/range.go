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

// branch decodes a bit that the caller branches on, and adapts p.
func (c rangeCoder) branch(p *uint16) (rangeCoder, bool) {
	prob := *p
	bound := c.rng >> probBits * uint32(prob)
	if c.code < bound {
		c.rng = bound
		*p = prob + (probOne-prob)>>moveBits
		return c, false
	}
	c.rng -= bound
	c.code -= bound
	*p = prob - prob>>moveBits
	return c, true
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

// The trees below are unrolled, which makes decoding 4% faster and lets the
// compiler prove that no index is outside. They return the leaf's number,
// with the tree's size added.

func (c rangeCoder) tree8(t *[8]uint16) (rangeCoder, uint) {
	var n, bit uint
	c, p := c.refill(), uint32(t[1])
	c, t[1], p, n = c.bitAhead(p, uint32(t[2]), uint32(t[3]))
	n += 2
	c = c.refill()
	c, t[n], p, bit = c.bitAhead(p, uint32(t[n*2]), uint32(t[n*2+1]))
	n = n*2 + bit
	c = c.refill()
	c, t[n], bit = c.bit(p)
	return c, n*2 + bit
}

func (c rangeCoder) tree64(t *[64]uint16) (rangeCoder, uint) {
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
	c, t[n], bit = c.bit(p)
	return c, n*2 + bit
}

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

// tree256From is tree256 from the node n on.
func (c rangeCoder) tree256From(t *[256]uint16, n uint) (rangeCoder, uint) {
	var bit uint
	p := uint32(t[n%256])
	for n < 256 {
		c = c.refill()
		c, t[n], p, bit = c.bitAhead(p, uint32(t[n*2%256]), uint32(t[(n*2+1)%256]))
		n = n*2 + bit
	}
	return c, n
}

// reverse16 is a tree of four bits that come the lowest first. It returns the
// bits, without a size added.
func (c rangeCoder) reverse16(t *[16]uint16) (rangeCoder, uint32) {
	var n, v, bit uint
	c, p := c.refill(), uint32(t[1])
	c, t[1], p, v = c.bitAhead(p, uint32(t[2]), uint32(t[3]))
	n = 2 + v
	c = c.refill()
	c, t[n], p, bit = c.bitAhead(p, uint32(t[n*2]), uint32(t[n*2+1]))
	n, v = n*2+bit, v+bit<<1
	c = c.refill()
	c, t[n], p, bit = c.bitAhead(p, uint32(t[n*2]), uint32(t[n*2+1]))
	n, v = n*2+bit, v+bit<<2
	c = c.refill()
	c, t[n], bit = c.bit(p)
	return c, uint32(v + bit<<3)
}

// direct decodes n bits that are as likely zero as one.
func (c rangeCoder) direct(n uint32) (rangeCoder, uint32) {
	var v uint32
	for ; n > 0; n-- {
		c = c.refill()
		c.rng >>= 1
		code, bit := c.code, uint32(1)
		if code < c.rng {
			bit = 0
		}
		c.code -= c.rng
		if code < c.rng {
			c.code = code
		}
		v = v<<1 | bit
	}
	return c, v
}
