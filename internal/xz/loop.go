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
		c                      = rangeCoder{in, 1<<32 - 1, binary.BigEndian.Uint32(in[1:]), 5}
		state                  = m.state
		rep0, rep1, rep2, rep3 = m.rep0, m.rep1, m.rep2, m.rep3

		posMask    = uint(1)<<m.pb - 1
		litMask    = uint(0x100)<<m.lp - uint(0x100)>>m.lc
		litShift   = 8 - m.lc
		prev, leaf uint
	)
	if pos > base {
		prev = uint(buf[pos-1])
	}
	for pos < limit {
		var isMatch, isRep, more bool
		var length uint
		position := uint(pos - base)
		alignment := position & posMask & 15
		if c, isMatch = c.refill().branch(&m.isMatch[state&15][alignment]); !isMatch {
			literal := &m.literal[(position<<8+prev)&litMask>>(litShift&15)&15]
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
		if c, isRep = c.refill().branch(&m.isRep[state&15]); !isRep {
			rep3, rep2, rep1 = rep2, rep1, rep0
			c, length = c.length(&m.match, alignment)
			c, rep0 = c.distance(m, length)
			if rep0 >= dictSize || uint64(rep0) >= uint64(position) {
				return false
			}
			state = uint(afterMatch[state&15])
		} else {
			if position == 0 {
				return false
			}
			if c, more = c.refill().branch(&m.isRep0[state&15]); !more {
				if c, more = c.refill().branch(&m.isRep0Long[state&15][alignment]); !more {
					prev = uint(buf[pos-int(rep0)-1])
					buf[pos] = byte(prev)
					pos++
					state = uint(afterShortRep[state&15])
					continue
				}
			} else if c, more = c.refill().branch(&m.isRep1[state&15]); !more {
				rep0, rep1 = rep1, rep0
			} else if c, more = c.refill().branch(&m.isRep2[state&15]); !more {
				rep0, rep1, rep2 = rep2, rep0, rep1
			} else {
				rep0, rep1, rep2, rep3 = rep3, rep0, rep1, rep2
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
	m.rep0, m.rep1, m.rep2, m.rep3 = rep0, rep1, rep2, rep3
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
	// The match runs into what it writes: once a multiple of the distance is
	// written, it can be copied from in one go, and each time twice as much.
	for n > 0 {
		k := min(n, distance)
		if k < 16 {
			for i := range k {
				buf[pos+i] = buf[from+i]
			}
		} else {
			copy(buf[pos:pos+k], buf[from:from+k])
		}
		pos, n, distance = pos+k, n-k, distance+k
	}
}

// matchedLiteral decodes a literal behind a match. It is coded against the
// byte that the match would have gone on with, as far as the two agree.
func (c rangeCoder) matchedLiteral(l *literalModel, expected uint) (rangeCoder, uint) {
	var bit uint
	expected |= 0x100
	for k := uint(8); k > 0; {
		node := expected >> (k & 15) % 256
		k--
		want := expected >> (k & 15) % 2
		c = c.refill()
		c, l.matched[want][node], bit = c.bit(uint32(l.matched[want][node]))
		if bit != want {
			return c.tree256From(&l.plain, node*2+bit)
		}
	}
	return c, expected
}

// length decodes a match's length.
func (c rangeCoder) length(l *lengthModel, alignment uint) (rangeCoder, uint) {
	var leaf uint
	var more bool
	if c, more = c.refill().branch(&l.choice); !more {
		c, leaf = c.tree8(&l.low[alignment&15])
		return c, leaf - 8 + 2
	}
	if c, more = c.refill().branch(&l.choice2); !more {
		c, leaf = c.tree8(&l.mid[alignment&15])
		return c, leaf - 8 + 10
	}
	c, leaf = c.tree256(&l.high)
	return c, leaf - 256 + 18
}

// distance decodes the distance, less one, of a match of this length.
func (c rangeCoder) distance(m *model, length uint) (rangeCoder, uint32) {
	c, leaf := c.tree64(&m.slot[min(length-2, 3)])
	slot := uint32(leaf - 64)
	if slot < 4 {
		return c, slot
	}
	n := slot>>1 - 1
	v := (2 | slot&1) << (n & 31)
	node, bit := uint(1), uint(0)
	if slot < 14 {
		t := &m.special[slot]
		for k := range n {
			c = c.refill()
			c, t[node%32], bit = c.bit(uint32(t[node%32]))
			node = node*2 + bit
			v += uint32(bit) << (k & 31)
		}
		return c, v
	}
	c, high := c.direct(n - 4)
	v += high << 4
	c, low := c.reverse16(&m.align)
	return c, v + low
}
