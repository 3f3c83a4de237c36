package xz

import (
	"encoding/binary"
	"math/bits"
)

// The filters here turn the absolute targets of branches and calls back into
// relative ones. Each knows the position of its data as a 32-bit number that
// wraps around.

// branches serves the architectures whose instructions are aligned words of
// four bytes.
type branches struct {
	pos     uint32
	convert func(word []byte, at uint32)
}

func (f *branches) apply(p []byte) int {
	n := len(p) &^ 3
	for i := 0; i < n; i += 4 {
		f.convert(p[i:i+4:i+4], f.pos+uint32(i))
	}
	f.pos += uint32(n)
	return n
}

// convertPowerPC: bl, a branch with link and 26 bits of relative address.
func convertPowerPC(word []byte, at uint32) {
	const opcode, address = 0x48000001, 0x03fffffc
	if v := binary.BigEndian.Uint32(word); v&^address == opcode {
		binary.BigEndian.PutUint32(word, opcode|(v-at)&address)
	}
}

// convertARM: bl without condition, 24 bits of address in words, counted from
// two instructions on.
func convertARM(word []byte, at uint32) {
	const opcode, address = 0xeb000000, 0x00ffffff
	if v := binary.LittleEndian.Uint32(word); v&^address == opcode {
		binary.LittleEndian.PutUint32(word, opcode|(v-(at+8)>>2)&address)
	}
}

// convertSPARC: call, whose 30 bits of address in words are converted where
// their top eight are all equal.
func convertSPARC(word []byte, at uint32) {
	v := binary.BigEndian.Uint32(word)
	if top := v >> 22; top != 0x100 && top != 0x1ff {
		return
	}
	v = (v<<2 - at) >> 2
	sign := -(v >> 22 & 1) << 22 & 0x3fffffff
	binary.BigEndian.PutUint32(word, 0x40000000|sign|v&0x3fffff)
}

// convertARM64: bl with 26 bits of address in words, and adrp, which loads
// the address of a page, where it is within 512 MiB.
func convertARM64(word []byte, at uint32) {
	v := binary.LittleEndian.Uint32(word)
	switch {
	case v>>26 == 0x25:
		v = 0x94000000 | (v-at>>2)&0x03ffffff
	case v&0x9f000000 == 0x90000000:
		page := v>>29&3 | v>>3&0x1ffffc
		if (page+0x20000)&0x1c0000 != 0 {
			return
		}
		page -= at >> 12
		v = v&0x9000001f | page&3<<29 | page&0x3fffc<<3 | -(page&0x20000)&0xe00000
	default:
		return
	}
	binary.LittleEndian.PutUint32(word, v)
}

// armThumb converts bl, a pair of half words with 11 bits of address each.
type armThumb struct{ pos uint32 }

func (f *armThumb) apply(p []byte) int {
	i := 0
	for ; i+4 <= len(p); i += 2 {
		hi, lo := binary.LittleEndian.Uint16(p[i:]), binary.LittleEndian.Uint16(p[i+2:])
		if hi>>11 != 0x1e || lo>>11 != 0x1f {
			continue
		}
		v := uint32(hi&0x7ff)<<11 | uint32(lo&0x7ff)
		v -= (f.pos + uint32(i) + 4) >> 1
		binary.LittleEndian.PutUint16(p[i:], 0xf000|uint16(v>>11&0x7ff))
		binary.LittleEndian.PutUint16(p[i+2:], 0xf800|uint16(v&0x7ff))
		i += 2
	}
	f.pos += uint32(i)
	return i
}

// ia64 converts IP-relative branches in bundles of three 41-bit instructions.
type ia64 struct{ pos uint32 }

func (f *ia64) apply(p []byte) int {
	// Which of the three slots are branches, by the bundle's template.
	slots := [32]uint8{16: 4, 4, 6, 6, 0, 0, 7, 7, 4, 4, 0, 0, 4, 4, 0, 0}
	n := len(p) &^ 15
	for i := 0; i < n; i += 16 {
		at := f.pos + uint32(i)
		for slot, mask := 0, slots[p[i]&31]; mask>>slot != 0; slot++ {
			if mask>>slot&1 != 0 {
				bit := 5 + 41*slot
				convertIA64(p[i+bit/8:i+bit/8+6], bit%8, at)
			}
		}
	}
	f.pos += uint32(n)
	return n
}

// convertIA64 converts the instruction that begins bit bits into the six
// bytes at p, if it is a branch.
func convertIA64(p []byte, bit int, at uint32) {
	const address, sign = 0xfffff << 13, 1 << 36
	var six [8]byte
	copy(six[:], p)
	raw := binary.LittleEndian.Uint64(six[:])
	v := raw >> bit
	if v>>37&0xf != 5 || v>>9&7 != 0 {
		return
	}
	target := uint32(v>>13&0xfffff|v>>36&1<<20)<<4 - at
	v = v&^(address|sign) | uint64(target>>4&0xfffff)<<13 | uint64(target>>24&1)<<36
	raw = raw&(1<<bit-1) | v<<bit
	binary.LittleEndian.PutUint64(six[:], raw)
	copy(p, six[:6])
}

// x86 converts call (e8) and jmp (e9) with 32 bits of address, whose top byte
// is 00 or ff. Instructions are not aligned, so that an e8 may be part of an
// address; the encoder guessed by what stands in the three bytes before, and
// the same is done here.
type x86 struct {
	pos  uint32
	last uint32 // where the last e8 or e9 was
	// Bit n is set where n bytes before last (0 is last itself) there is an
	// e8 or e9 that was not converted; in near, if also its top byte is 00 or ff.
	seen, near uint8
}

func (f *x86) apply(p []byte) int {
	i := 0
	for ; i+5 <= len(p); i++ {
		if p[i]&0xfe != 0xe8 {
			continue
		}
		at := f.pos + uint32(i)
		if gap := at - f.last; gap > 3 {
			f.seen, f.near = 0, 0
		} else {
			f.seen, f.near = f.seen<<gap&0xe, f.near<<gap&0xe
		}
		f.last = at
		top := isSign(p[i+4])
		if !top || f.near != 0 || bits.OnesCount8(f.seen) > 1 {
			f.seen |= 1
			if top {
				f.near |= 1
			}
			continue
		}
		v := f.target(binary.LittleEndian.Uint32(p[i+1:]), at+5)
		binary.LittleEndian.PutUint32(p[i+1:], v&0xffffff|-(v>>24&1)<<24)
		f.seen = 0
		i += 4
	}
	f.pos += uint32(i)
	return i
}

// target converts the address v of the instruction that ends before next.
// Where an unconverted opcode lies inside the address's reach, the byte that
// the encoder looked at must not come out as 00 or ff.
func (f *x86) target(v, next uint32) uint32 {
	t := v - next
	if f.seen == 0 {
		return t
	}
	shift := 8 * bits.TrailingZeros8(f.seen)
	for isSign(byte(t >> (24 - shift))) {
		t = (t ^ (1<<(32-shift) - 1)) - next
	}
	return t
}

func isSign(b byte) bool { return b == 0 || b == 0xff }
