package gunzip

import (
	"errors"
	"fmt"
	"math/bits"
)

// An entry of a table says what the code at the lowest bits stands for:
//
//	bits 0-5    how many bits it takes, extra bits included
//	bits 8-11   how many of them are the code
//	bits 12-15  what it is, see below
//	bits 16-31  the literal, the least length or distance, or where in the table
//	            the codes continue that are longer than the table's main bits
//
// A literal is the sign bit: entries are int32, and one comparison tells literals,
// by far the most, from all else.
const (
	literalFlag = -1 << 31
	otherFlag   = 1 << 15 // neither a literal nor a length or distance
	longFlag    = 1 << 14 // with otherFlag: continues elsewhere in the table
	endFlag     = 1 << 13 // with otherFlag: the end of the block
	nothing     = otherFlag | 1
)

// The main bits of the two tables, and their lengths: a code has at most 15 bits
// (RFC 1951, section 3.2.7), and of codes that share their main bits there are at
// least two, so a table has at most half as many continuations as symbols, each as
// long as the longest code needs. The lengths are rounded up to powers of two,
// which makes an index that is masked one that needs no check.
const (
	maxBits       = 15
	literalBits   = 11
	distanceBits  = 8
	lengthBits    = 7
	literalCodes  = 288
	distanceCodes = 32
	lengthCodes   = 19
	literalRoom   = 8 << 10 // 2048 + 144*16
	distanceRoom  = 4 << 10 // 256 + 16*128
	endOfBlock    = 256
)

// codes are those of a block.
type codes struct {
	literals  [literalRoom]int32
	distances [distanceRoom]int32
	isFixed   bool // they are those of RFC 1951, section 3.2.6
	// for what says how long the codes are
	lengths [1 << lengthBits]int32
	sizes   [literalCodes + distanceCodes]uint8
}

// literal is the entry of a symbol of the literal and length alphabet but for the
// length of its code (RFC 1951, section 3.2.5).
func literal(symbol int) int32 {
	switch n := symbol - 257; {
	case n < -1:
		return literalFlag | int32(symbol)<<16
	case n == -1:
		return otherFlag | endFlag
	case n < 8:
		return int32(3+n) << 16
	case n < 28:
		extra := n>>2 - 1
		return int32(3+(4+n&3)<<extra)<<16 | int32(extra)
	case n == 28:
		return 258 << 16
	}
	return otherFlag
}

// distance is that of a symbol of the distance alphabet.
func distance(symbol int) int32 {
	switch {
	case symbol < 4:
		return int32(1+symbol) << 16
	case symbol < 30:
		extra := symbol>>1 - 1
		return int32(1+(2+symbol&1)<<extra)<<16 | int32(extra)
	}
	return otherFlag
}

// plain is that of a symbol that stands for itself.
func plain(symbol int) int32 { return int32(symbol) << 16 }

// makeTable fills a table for the codes whose lengths are given by symbol (RFC 1951,
// section 3.2.2). entry gives what a symbol stands for.
func makeTable(table []int32, mainBits int, sizes []uint8, entry func(int) int32) error {
	var count [maxBits + 1]int
	for _, n := range sizes {
		count[n]++
	}
	count[0] = 0
	longest, total, left := 0, 0, 1
	var next [maxBits + 1]int
	for n, code := 1, 0; n <= maxBits; n++ {
		code = (code + count[n-1]) << 1
		next[n] = code
		left = left<<1 - count[n]
		if left < 0 {
			return errors.New("more codes than there can be")
		}
		if count[n] > 0 {
			longest = n
		}
		total += count[n]
	}
	if left > 0 {
		// One code alone has one bit, the other of which is not used, and a block
		// without matches needs no code for distances.
		if total > 1 || longest > 1 {
			return errors.New("fewer codes than there must be")
		}
		for i := range table[:1<<mainBits] {
			table[i] = nothing
		}
	}
	free, longBits := 1<<mainBits, max(0, longest-mainBits)
	if longBits > 0 {
		for i := range table[:1<<mainBits] {
			table[i] = 0 // no entry is zero but one that is not made yet
		}
	}
	for symbol, n := range sizes {
		if n == 0 {
			continue
		}
		n := int(n)
		code := int(bits.Reverse16(uint16(next[n])) >> (16 - n))
		next[n]++
		e := entry(symbol)
		if n <= mainBits {
			e += int32(n | n<<8)
			for i := code; i < 1<<mainBits; i += 1 << n {
				table[i] = e
			}
			continue
		}
		main := code & (1<<mainBits - 1)
		if table[main] == 0 {
			table[main] = int32(free)<<16 | otherFlag | longFlag | int32(longBits<<8|mainBits)
			free += 1 << longBits
		}
		at, rest := int(uint32(table[main])>>16), n-mainBits
		e += int32(rest | rest<<8)
		for i := code >> mainBits; i < 1<<longBits; i += 1 << rest {
			table[at+i] = e
		}
	}
	return nil
}

// fixed makes the codes of RFC 1951, section 3.2.6.
func (c *codes) fixed() error {
	if c.isFixed {
		return nil
	}
	sizes := c.sizes[:literalCodes]
	for i := range sizes {
		switch {
		case i < 144:
			sizes[i] = 8
		case i < 256:
			sizes[i] = 9
		case i < 280:
			sizes[i] = 7
		default:
			sizes[i] = 8
		}
	}
	if err := makeTable(c.literals[:], literalBits, sizes, literal); err != nil {
		return err
	}
	sizes = c.sizes[:distanceCodes]
	for i := range sizes {
		sizes[i] = 5
	}
	c.isFixed = true
	return makeTable(c.distances[:], distanceBits, sizes, distance)
}

// dynamic reads the codes of a block (RFC 1951, section 3.2.7).
func (z *Reader) dynamic() error {
	c := &z.codes
	c.isFixed = false
	b, err := z.bitsOf(14)
	if err != nil {
		return err
	}
	literals, distances, lengths := int(b&31)+257, int(b>>5&31)+1, int(b>>10)+4
	if literals > 286 || distances > 30 {
		return fmt.Errorf("%d codes for literals and lengths and %d for distances, more than the 286 and 30 that there are", literals, distances)
	}
	order := [lengthCodes]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	var sizes [lengthCodes]uint8
	for _, symbol := range order[:lengths] {
		n, err := z.bitsOf(3)
		if err != nil {
			return err
		}
		sizes[symbol] = uint8(n)
	}
	if err := makeTable(c.lengths[:], lengthBits, sizes[:], plain); err != nil {
		return err
	}
	all := c.sizes[:literals+distances]
	for i := 0; i < len(all); {
		symbol, err := z.symbol(c.lengths[:], lengthBits)
		if err != nil {
			return err
		}
		if symbol < 16 {
			all[i] = uint8(symbol)
			i++
			continue
		}
		value, extra, least := uint8(0), uint(2), uint32(3)
		switch symbol {
		case 16:
			if i == 0 {
				return errors.New("the first length of a code repeats the one before")
			}
			value = all[i-1]
		case 17:
			extra = 3
		case 18:
			extra, least = 7, 11
		}
		n, err := z.bitsOf(extra)
		if err != nil {
			return err
		}
		if n += least; int(n) > len(all)-i {
			return errors.New("more lengths of codes than codes")
		}
		for range n {
			all[i] = value
			i++
		}
	}
	if err := makeTable(c.literals[:], literalBits, all[:literals], literal); err != nil {
		return err
	}
	return makeTable(c.distances[:], distanceBits, all[literals:], distance)
}
