package gunzip

import (
	"encoding/binary"
	"errors"
	"io"
)

var (
	errCode   = errors.New("a code that stands for nothing")
	errBefore = errors.New("a match that begins before the data")
)

// symbol takes the next code of a table, and returns the value of its entry with
// the extra bits added.
func (in *input) symbol(table []int32, mainBits uint) (uint32, error) {
	e, err := in.entry(table, mainBits)
	if err != nil {
		return 0, err
	}
	return in.value(e)
}

// entry finds the next code in a table, and takes the main bits of one that is
// longer; the others are for value.
func (in *input) entry(table []int32, mainBits uint) (int32, error) {
	// Few bits may be left, and do for a short code.
	if err := in.more(maxBits); err != nil && in.failed != io.EOF {
		return 0, err
	}
	e := table[in.bits&(1<<mainBits-1)]
	if e >= 0 && e&(otherFlag|longFlag) == otherFlag|longFlag {
		if in.count < mainBits {
			return 0, in.short()
		}
		in.drop(mainBits)
		e = table[uint32(e)>>16+uint32(in.bits)&(1<<(e>>8&15)-1)]
	}
	if e >= 0 && e&(otherFlag|endFlag) == otherFlag {
		return 0, errCode
	}
	if in.count < uint(e>>8&15) {
		return 0, in.short()
	}
	return e, nil
}

// short is the error where the bits do not reach.
func (in *input) short() error { return unexpected(in.failed) }

// value takes the bits of an entry, and returns what it stands for.
func (in *input) value(e int32) (uint32, error) {
	code, all := uint(e>>8&15), uint(e&63)
	if err := in.more(all); err != nil {
		return 0, err
	}
	extra := uint32(in.bits&(1<<all-1)) >> code
	in.drop(all)
	return uint32(e)>>16&0x7fff + extra, nil
}

// decode decodes matches and literals to the end of the block, or until the
// buffer is full.
func (z *Reader) decode() error {
	for z.write <= len(z.out)-outSlack {
		if z.end-z.pos < inSlack {
			if err := z.need(inSlack); err != nil {
				// Near the end of the file, one by one.
				if done, err := z.one(); done || err != nil {
					return err
				}
				continue
			}
		}
		if done, err := z.many(); done || err != nil {
			return err
		}
	}
	return nil
}

// one decodes one literal or match.
func (z *Reader) one() (done bool, err error) {
	e, err := z.entry(z.codes.literals[:], literalBits)
	if err != nil {
		return false, err
	}
	v, err := z.value(e)
	switch {
	case err != nil:
		return false, err
	case e < 0:
		z.out[z.write] = byte(v)
		z.write++
		return false, nil
	case e&otherFlag != 0:
		z.state = atBlock
		return true, nil
	}
	d, err := z.symbol(z.codes.distances[:], distanceBits)
	if err != nil {
		return false, err
	}
	if int(d) > z.write-z.begin {
		return false, errBefore
	}
	for range v {
		z.out[z.write] = z.out[z.write-int(d)]
		z.write++
	}
	return false, nil
}

// refill brings the bits in hand to 56 at least, from the eight bytes at pos. Bits
// that are there already are there again, the same: of the bytes read only those
// count that fit whole.
func refill(in []byte, acc uint64, pos int, count uint) (uint64, int, uint) {
	acc |= binary.LittleEndian.Uint64(in[pos:pos+8:pos+8]) << (count & 63)
	return acc, pos + int((63-count)>>3), count | 56
}

// many decodes for as long as both buffers reach for one turn of its loop.
func (z *Reader) many() (done bool, err error) {
	in, out := z.buf[:z.end], z.out
	literals, distances := &z.codes.literals, &z.codes.distances
	pos, write, begin := z.pos, z.write, z.begin
	lastIn, lastOut := len(in)-inSlack, len(out)-outSlack
	acc, count := z.bits, z.count
	if pos > lastIn || write > lastOut {
		return false, nil
	}
	acc, pos, count = refill(in, acc, pos, count)
	e := literals[acc&(1<<literalBits-1)]
loop:
	for {
		// At least 56 bits are there, which reach for two literals in the main table
		// and any length, or for a third literal. The entry after what is decoded is
		// looked up before that is written: the one takes as long as the other.
		old := acc
		acc >>= e & 63
		count -= uint(e & 63)
		if e < 0 {
			v := byte(e >> 16)
			e = literals[acc&(1<<literalBits-1)]
			old = acc
			acc >>= e & 63
			count -= uint(e & 63)
			out[write] = v
			if write++; e < 0 {
				v := byte(e >> 16)
				e = literals[acc&(1<<literalBits-1)]
				out[write] = v
				if write++; e < 0 {
					if pos > lastIn || write > lastOut {
						break
					}
					acc, pos, count = refill(in, acc, pos, count)
					continue
				}
				old = acc
				acc >>= e & 63
				count -= uint(e & 63)
			}
		}
		if e&otherFlag != 0 {
			if e&longFlag != 0 {
				e = literals[(uint32(e)>>16+uint32(acc)&(1<<(e>>8&15)-1))&(literalRoom-1)]
				old = acc
				acc >>= e & 63
				count -= uint(e & 63)
				if e < 0 {
					out[write] = byte(e >> 16)
					write++
					if pos > lastIn || write > lastOut {
						break
					}
					acc, pos, count = refill(in, acc, pos, count)
					e = literals[acc&(1<<literalBits-1)]
					continue
				}
			}
			if e&otherFlag != 0 {
				if e&endFlag == 0 {
					err = errCode
					break loop
				}
				z.state, done = atBlock, true
				break loop
			}
		}
		length := int(e>>16) + int(uint32(old&(1<<(e&63)-1))>>(e>>8&15))

		acc, pos, count = refill(in, acc, pos, count)
		e = distances[acc&(1<<distanceBits-1)]
		old = acc
		acc >>= e & 63
		count -= uint(e & 63)
		if e&otherFlag != 0 {
			if e&longFlag != 0 {
				e = distances[(uint32(e)>>16+uint32(acc)&(1<<(e>>8&15)-1))&(distanceRoom-1)]
				old = acc
				acc >>= e & 63
				count -= uint(e & 63)
			}
			if e&otherFlag != 0 {
				err = errCode
				break loop
			}
		}
		d := int(e>>16) + int(uint32(old&(1<<(e&63)-1))>>(e>>8&15))

		from := write - d
		if from < begin {
			err = errBefore
			break loop
		}
		at := write
		write += length
		more := pos <= lastIn && write <= lastOut
		if more {
			acc, pos, count = refill(in, acc, pos, count)
			e = literals[acc&(1<<literalBits-1)]
		}
		switch {
		case d >= 8:
			// Eight bytes at a time, which may go beyond the end: what is there is
			// written over.
			for {
				to, of := out[at:at+16:at+16], out[from:from+16:from+16]
				binary.LittleEndian.PutUint64(to, binary.LittleEndian.Uint64(of))
				binary.LittleEndian.PutUint64(to[8:], binary.LittleEndian.Uint64(of[8:]))
				if at, from = at+16, from+16; at >= write {
					break
				}
			}
		case d == 1:
			v := uint64(out[from]) * 0x0101010101010101
			for ; at < write; at += 8 {
				binary.LittleEndian.PutUint64(out[at:at+8:at+8], v)
			}
		default:
			for ; at < write; at++ {
				out[at] = out[at-d]
			}
		}
		if !more {
			break
		}
	}
	z.pos, z.write, z.bits, z.count = pos, write, acc, count
	return done, err
}
