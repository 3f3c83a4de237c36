package xz

import "encoding/binary"

// chunkInput is the room for one LZMA2 chunk's compressed bytes, which are at
// most this many. An index of type uint16 is always inside it.
type chunkInput [1 << 16]byte

// matchSlack is how many bytes a match copy may write past the match's end.
const matchSlack = 32

// rangeStep decodes one bit whose probability of being zero is p: it returns
// the new range, code and probability, and the bit.
func rangeStep(rng, code, p uint32) (uint32, uint32, uint16, uint32) {
	bound := (rng >> probBits) * p
	bit := uint32(1)
	if code < bound {
		bit = 0
	}
	np := uint16(int32(p) - int32(p+((bit-1)&(1<<32-probOne+31)))>>moveBits)
	r, c := rng-bound, code-bound
	if code < bound {
		r = bound
	}
	if code < bound {
		c = code
	}
	return r, c, np, bit
}

// normalize refills the range coder by a byte where its range is short.
func normalize(rng, code, ip uint32, in *chunkInput) (uint32, uint32, uint32) {
	if rng < 1<<24 {
		rng <<= 8
		code = code<<8 | uint32(in[uint16(ip)])
		ip++
	}
	return rng, code, ip
}

func (m *model) chunk(in *chunkInput, size int, buf []byte, base, pos, limit int, dictSize uint32) bool {
	var (
		rng                    uint32 = 1<<32 - 1
		code                          = binary.BigEndian.Uint32(in[1:])
		ip                     uint32 = 5
		state                         = m.state
		rep0, rep1, rep2, rep3        = m.rep0, m.rep1, m.rep2, m.rep3
		posMask                       = uint32(1)<<m.pb - 1
		litMask                       = uint32(0x100)<<m.lp - uint32(0x100)>>m.lc
		litMul                        = uint32(3) << m.lc
	)
	if in[0] != 0 || len(buf) < limit+matchSlack {
		return false
	}
	var prev uint32
	if pos > base {
		prev = uint32(buf[pos-1])
	}
	for pos < limit {
		var bit, x, length uint32
		ps := uint32(pos-base) & posMask & 15
		rng, code, ip = normalize(rng, code, ip, in)
		pm := &m.isMatch[state&15][ps]
		p := uint32(*pm)
		bound := (rng >> probBits) * p
		if code < bound {
			rng = bound
			*pm = uint16(p + (probOne-p)>>moveBits)
			lit := (*[0x400]uint16)(m.literal[(uint32(pos-base)<<8+prev)&litMask*litMul:])
			x = 1
			if state >= literalStates {
				mp := pos - int(rep0) - 1
				mb := uint32(buf[mp]) | 0x100
				for k := uint32(8); k > 0; {
					k--
					rng, code, ip = normalize(rng, code, ip, in)
					i := (0x100 + mb<<(8-k)&0x100 + x) & 0x3ff
					rng, code, lit[i], bit = rangeStep(rng, code, uint32(lit[i]))
					x = x*2 + bit
					if x != mb>>(k&15) {
						break
					}
				}
			}
			for x < 0x100 {
				rng, code, ip = normalize(rng, code, ip, in)
				i := x & 0xff
				rng, code, lit[i], bit = rangeStep(rng, code, uint32(lit[i]))
				x = x*2 + bit
			}
			prev = x & 0xff
			buf[pos] = byte(x)
			pos++
			state = uint32(afterLiteral[state&15])
			continue
		}
		rng -= bound
		code -= bound
		*pm = uint16(p - p>>moveBits)

		rng, code, ip = normalize(rng, code, ip, in)
		lens := &m.rep
		pm = &m.isRep[state&15]
		p = uint32(*pm)
		bound = (rng >> probBits) * p
		match := code < bound
		if match {
			rng = bound
			*pm = uint16(p + (probOne-p)>>moveBits)
			lens = &m.match
		} else {
			rng -= bound
			code -= bound
			*pm = uint16(p - p>>moveBits)
			if pos == base {
				return false
			}
			rng, code, ip = normalize(rng, code, ip, in)
			rng, code, m.isRep0[state&15], bit = rangeStep(rng, code, uint32(m.isRep0[state&15]))
			if bit == 0 {
				rng, code, ip = normalize(rng, code, ip, in)
				rng, code, m.isRep0Long[state&15][ps], bit = rangeStep(rng, code, uint32(m.isRep0Long[state&15][ps]))
				if bit == 0 {
					buf[pos] = buf[pos-int(rep0)-1]
					prev = uint32(buf[pos])
					pos++
					state = uint32(afterShortRep[state&15])
					continue
				}
			} else {
				rng, code, ip = normalize(rng, code, ip, in)
				rng, code, m.isRep1[state&15], bit = rangeStep(rng, code, uint32(m.isRep1[state&15]))
				if bit == 0 {
					rep0, rep1 = rep1, rep0
				} else {
					rng, code, ip = normalize(rng, code, ip, in)
					rng, code, m.isRep2[state&15], bit = rangeStep(rng, code, uint32(m.isRep2[state&15]))
					if bit == 0 {
						rep0, rep1, rep2 = rep2, rep0, rep1
					} else {
						rep0, rep1, rep2, rep3 = rep3, rep0, rep1, rep2
					}
				}
			}
			state = uint32(afterRep[state&15])
		}

		// The length.
		rng, code, ip = normalize(rng, code, ip, in)
		p = uint32(lens.choice)
		bound = (rng >> probBits) * p
		if code < bound {
			rng = bound
			lens.choice = uint16(p + (probOne-p)>>moveBits)
			tree := &lens.low[ps]
			x = 1
			for x < 8 {
				rng, code, ip = normalize(rng, code, ip, in)
				i := x & 7
				rng, code, tree[i], bit = rangeStep(rng, code, uint32(tree[i]))
				x = x*2 + bit
			}
			length = x - 8 + 2
		} else {
			rng -= bound
			code -= bound
			lens.choice = uint16(p - p>>moveBits)
			rng, code, ip = normalize(rng, code, ip, in)
			rng, code, lens.choice2, bit = rangeStep(rng, code, uint32(lens.choice2))
			if bit == 0 {
				tree := &lens.mid[ps]
				x = 1
				for x < 8 {
					rng, code, ip = normalize(rng, code, ip, in)
					i := x & 7
					rng, code, tree[i], bit = rangeStep(rng, code, uint32(tree[i]))
					x = x*2 + bit
				}
				length = x - 8 + 10
			} else {
				tree := &lens.high
				x = 1
				for x < 256 {
					rng, code, ip = normalize(rng, code, ip, in)
					i := x & 255
					rng, code, tree[i], bit = rangeStep(rng, code, uint32(tree[i]))
					x = x*2 + bit
				}
				length = x - 256 + 18
			}
		}
		if match {
			rep3, rep2, rep1 = rep2, rep1, rep0
			state = uint32(afterMatch[state&15])
			slots := &m.slot[min(length-2, 3)]
			x = 1
			for x < 64 {
				rng, code, ip = normalize(rng, code, ip, in)
				i := x & 63
				rng, code, slots[i], bit = rangeStep(rng, code, uint32(slots[i]))
				x = x*2 + bit
			}
			slot := x - 64
			if slot < 4 {
				rep0 = slot
			} else {
				n := slot>>1 - 1
				rep0 = (2 | slot&1) << (n & 31)
				x = 1
				if slot < 14 {
					tree := &m.special[slot&15]
					for k := uint32(0); k < n; k++ {
						rng, code, ip = normalize(rng, code, ip, in)
						i := x & 31
						rng, code, tree[i], bit = rangeStep(rng, code, uint32(tree[i]))
						x = x*2 + bit
						rep0 += bit << (k & 31)
					}
				} else {
					var direct uint32
					for ; n > 4; n-- {
						rng, code, ip = normalize(rng, code, ip, in)
						rng >>= 1
						bit = 1
						if code < rng {
							bit = 0
						}
						c := code - rng
						if code < rng {
							c = code
						}
						code = c
						direct = direct<<1 | bit
					}
					rep0 += direct << 4
					for k := uint32(0); k < 4; k++ {
						rng, code, ip = normalize(rng, code, ip, in)
						i := x & 15
						rng, code, m.align[i], bit = rangeStep(rng, code, uint32(m.align[i]))
						x = x*2 + bit
						rep0 += bit << (k & 31)
					}
				}
			}
			if rep0 >= dictSize || uint64(rep0) >= uint64(pos-base) {
				return false
			}
		}

		n := int(length)
		mp := pos - int(rep0) - 1
		if n > limit-pos {
			return false
		}
		if rep0 >= 15 {
			for k := 0; ; {
				from, to := buf[mp+k:mp+k+16], buf[pos+k:pos+k+16]
				v0, v1 := binary.LittleEndian.Uint64(from), binary.LittleEndian.Uint64(from[8:])
				binary.LittleEndian.PutUint64(to, v0)
				binary.LittleEndian.PutUint64(to[8:], v1)
				k += 16
				if k >= n {
					break
				}
			}
		} else {
			for k := 0; k < n; k++ {
				buf[pos+k] = buf[mp+k]
			}
		}
		pos += n
		prev = uint32(buf[pos-1])
	}
	rng, code, ip = normalize(rng, code, ip, in)
	m.state = state
	m.rep0, m.rep1, m.rep2, m.rep3 = rep0, rep1, rep2, rep3
	return code == 0 && int(ip) == size
}
