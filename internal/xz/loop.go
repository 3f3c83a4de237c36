package xz

import "encoding/binary"

// matchSlack is how many bytes a match's copy may write past its end.
const matchSlack = 32

// chunk decodes an LZMA chunk: size bytes of in, which expand to exactly
// buf[pos:limit], behind a dictionary that begins at base (see slide for a
// negative base) and reaches back dictSize bytes at most. It reports whether
// the data are valid.
//
// This loop is where the time goes. Measure before and after any change.
func (m *model) chunk(in *chunkInput, size int, buf []byte, base, pos, limit int, dictSize uint32) bool {
	if in[0] != 0 || len(buf) < limit+matchSlack {
		return false
	}
	var (
		c           = rangeCoder{in, 1<<32 - 1, binary.BigEndian.Uint32(in[1:]), 5}
		state, rep0 = m.state, m.rep0 // the others stay in m: registers are scarce
		posMask     = uint(1)<<m.pb - 1
		usual       = m.lc == 3 && m.lp == 0 // as nearly every file has it
		prev, leaf  uint
	)
	if pos > base {
		prev = uint(buf[pos-1])
	}
	for pos < limit {
		var length uint
		position := uint(pos - base)
		alignment := position & posMask & 15
		c = c.refill()
		p := &m.isMatch[state&15][alignment]
		bound := c.bound(*p)
		if c.code < bound {
			c = c.zero(p, bound)
			context := prev >> 5
			if !usual {
				context = m.context(position, prev)
			}
			literal := &m.literal[context&15]
			if state >= literalStates {
				c, leaf = c.matchedLiteral(literal, uint(buf[pos-int(rep0)-1]))
			} else {
				c, leaf = c.tree256(&literal.plain)
			}
			prev = leaf & 0xff
			buf[pos] = byte(leaf)
			pos++
			state = uint(afterLiteral[state&15])
			continue
		}
		c = c.one(p, bound).refill()
		p = &m.isRep[state&15]
		bound = c.bound(*p)
		if c.code < bound {
			c = c.zero(p, bound)
			m.rep3, m.rep2, m.rep1 = m.rep2, m.rep1, rep0
			c, length = c.length(&m.match, alignment)
			c, rep0 = c.distance(m, length)
			if rep0 >= dictSize || uint64(rep0) >= uint64(position) {
				return false
			}
			state = uint(afterMatch[state&15])
		} else {
			c = c.one(p, bound).refill()
			if position == 0 {
				return false
			}
			p = &m.isRep0[state&15]
			bound = c.bound(*p)
			if c.code < bound {
				c = c.zero(p, bound).refill()
				p = &m.isRep0Long[state&15][alignment]
				bound = c.bound(*p)
				if c.code < bound {
					c = c.zero(p, bound)
					prev = uint(buf[pos-int(rep0)-1])
					buf[pos] = byte(prev)
					pos++
					state = uint(afterShortRep[state&15])
					continue
				}
				c = c.one(p, bound)
			} else {
				c = c.one(p, bound).refill()
				p = &m.isRep1[state&15]
				bound = c.bound(*p)
				if c.code < bound {
					c = c.zero(p, bound)
					rep0, m.rep1 = m.rep1, rep0
				} else {
					c = c.one(p, bound).refill()
					p = &m.isRep2[state&15]
					bound = c.bound(*p)
					if c.code < bound {
						c = c.zero(p, bound)
						rep0, m.rep1, m.rep2 = m.rep2, rep0, m.rep1
					} else {
						c = c.one(p, bound)
						rep0, m.rep1, m.rep2, m.rep3 = m.rep3, rep0, m.rep1, m.rep2
					}
				}
			}
			c, length = c.length(&m.rep, alignment)
			state = uint(afterRep[state&15])
		}
		if int(length) > limit-pos {
			return false
		}
		copyMatch(buf, pos, int(rep0)+1, int(length))
		pos += int(length)
		prev = uint(buf[pos-1])
	}
	c = c.refill()
	m.state = state
	m.rep0 = rep0
	return c.code == 0 && int(c.pos) == size
}

// copyMatch copies n bytes from distance bytes back to buf[pos:], and up to
// matchSlack more, of no meaning.
func copyMatch(buf []byte, pos, distance, n int) {
	from := pos - distance
	if distance >= 16 {
		for end := pos + n; pos < end; pos, from = pos+16, from+16 {
			s, d := buf[from:from+16], buf[pos:pos+16]
			lo, hi := binary.LittleEndian.Uint64(s), binary.LittleEndian.Uint64(s[8:])
			binary.LittleEndian.PutUint64(d, lo)
			binary.LittleEndian.PutUint64(d[8:], hi)
		}
		return
	}
	end := pos + n
	if distance >= 8 {
		for ; pos < end; pos, from = pos+8, from+8 {
			binary.LittleEndian.PutUint64(buf[pos:], binary.LittleEndian.Uint64(buf[from:]))
		}
		return
	}
	// The match repeats what is shorter than eight bytes: they are put together
	// once, and written over and over, whole repeats further on each time.
	shift := uint(distance) * 8
	v := binary.LittleEndian.Uint64(buf[from:]) & (1<<(shift&63) - 1)
	v |= v << shift
	v |= v << (2 * shift)
	v |= v << (4 * shift)
	for step := 8 - 8%distance; pos < end; pos += step {
		binary.LittleEndian.PutUint64(buf[pos:], v)
	}
}

// matchedLiteral decodes a literal behind a match. It is coded against the
// byte that the match would have gone on with, as far as the two agree.
//
// The processor guesses that they agree, and so the next node is known before
// the bit is.
func (c rangeCoder) matchedLiteral(l *literalModel, expected uint) (rangeCoder, uint) {
	n, bit := uint(1), uint(0)
	for {
		want := expected >> 7 & 1
		expected <<= 1
		c = c.refill()
		c, l.matched[want][n%256], bit = c.bit(uint32(l.matched[want][n%256]))
		n = n*2 + want
		if bit != want {
			break
		}
		if n >= 256 {
			return c, n
		}
	}
	n ^= 1 // the other child
	p := uint32(l.plain[n%256])
	for n < 256 {
		c = c.refill()
		c, l.plain[n], p, bit = c.bitAhead(p, uint32(l.plain[n*2%256]), uint32(l.plain[(n*2+1)%256]))
		n = n*2 + bit
	}
	return c, n
}

// length decodes a match's length.
func (c rangeCoder) length(l *lengthModel, alignment uint) (rangeCoder, uint) {
	var n, bit uint
	t, least := &l.low[alignment&15], uint(2)
	c = c.refill()
	bound := c.bound(l.choice)
	if c.code < bound {
		c = c.zero(&l.choice, bound)
	} else {
		c = c.one(&l.choice, bound).refill()
		bound = c.bound(l.choice2)
		if c.code >= bound {
			c = c.one(&l.choice2, bound)
			c, n = c.tree256(&l.high)
			return c, n - 256 + 18
		}
		c = c.zero(&l.choice2, bound)
		t, least = &l.mid[alignment&15], 10
	}
	c = c.refill()
	p := uint32(t[1])
	c, t[1], p, n = c.bitAhead(p, uint32(t[2]), uint32(t[3]))
	n += 2
	c = c.refill()
	c, t[n], p, bit = c.bitAhead(p, uint32(t[n*2]), uint32(t[n*2+1]))
	n = n*2 + bit
	c = c.refill()
	c, t[n], bit = c.bit(p)
	return c, n*2 + bit - 8 + least
}

// distance decodes the distance, less one, of a match of this length: the
// number of its bits and the two highest of them (its slot) from a tree, and
// then the others.
func (c rangeCoder) distance(m *model, length uint) (rangeCoder, uint32) {
	var n, bit uint
	t := &m.slot[min(length-2, 3)]
	c = c.refill()
	p := uint32(t[1])
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
	slot := uint32(n*2 + bit - 64)
	if slot < 4 {
		return c, slot
	}
	count := slot>>1 - 1
	v := (2 | slot&1) << (count & 31)
	if slot >= 14 {
		return c.longDistance(&m.align, v, count-alignBits)
	}
	low := &m.special[slot]
	n = 1
	for k := range count {
		c = c.refill()
		c, low[n%32], bit = c.bit(uint32(low[n%32]))
		n = n*2 + bit
		v += uint32(bit) << (k & 31)
	}
	return c, v
}

// alignBits is how many of a long distance's bits are modelled.
const alignBits = 4

// longDistance adds to v, of which the highest two bits are known, count bits
// that are as likely zero as one, and the lowest four.
func (c rangeCoder) longDistance(t *[1 << alignBits]uint16, v, count uint32) (rangeCoder, uint32) {
	var direct uint32
	for ; count > 0; count-- {
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
		direct = direct<<1 | bit
	}
	v += direct << alignBits
	var n, bit uint
	c = c.refill()
	p := uint32(t[1])
	c, t[1], p, bit = c.bitAhead(p, uint32(t[2]), uint32(t[3]))
	n, v = 2+bit, v+uint32(bit)
	c = c.refill()
	c, t[n], p, bit = c.bitAhead(p, uint32(t[n*2]), uint32(t[n*2+1]))
	n, v = n*2+bit, v+uint32(bit)<<1
	c = c.refill()
	c, t[n], p, bit = c.bitAhead(p, uint32(t[n*2]), uint32(t[n*2+1]))
	n, v = n*2+bit, v+uint32(bit)<<2
	c = c.refill()
	c, t[n], bit = c.bit(p)
	return c, v + uint32(bit)<<3
}
