package xz

import (
	"encoding/binary"
	"sync"
)

// CRC64 by ECMA-182, the check of nearly all .xz files. The standard
// library's takes a good twentieth of the whole decoding time: each of its
// steps waits for the one before. Here two halves of a stretch are computed
// side by side, and are put together by moving the first one on by the
// length of the second.

// crcLane is the length of such a half in bytes.
const crcLane = 1 << 10

type crc64Tables struct {
	// byte[k][b] is what the byte b, followed by k zero bytes, does to a CRC.
	byte [8][256]uint64
	// lane[i] is what the CRC's bit i becomes after crcLane zero bytes.
	lane [64]uint64
}

// crc64Polynomial is ECMA-182's, with the highest power in the lowest bit.
const crc64Polynomial = 0xc96c5795d7870f42

var crc64Table = sync.OnceValue(func() *crc64Tables {
	t := new(crc64Tables)
	for b := range t.byte[0] {
		crc := uint64(b)
		for range 8 {
			crc = crc>>1 ^ crc64Polynomial&-(crc&1)
		}
		t.byte[0][b] = crc
	}
	for k := 1; k < len(t.byte); k++ {
		for b := range t.byte[k] {
			crc := t.byte[k-1][b]
			t.byte[k][b] = crc>>8 ^ t.byte[0][byte(crc)]
		}
	}
	for i := range t.lane {
		crc := uint64(1) << i
		for range crcLane / 8 {
			crc = t.eight(crc)
		}
		t.lane[i] = crc
	}
	return t
})

// eight moves a CRC, to which eight bytes were added, past them.
func (t *crc64Tables) eight(crc uint64) uint64 {
	return t.byte[7][byte(crc)] ^ t.byte[6][byte(crc>>8)] ^ t.byte[5][byte(crc>>16)] ^ t.byte[4][byte(crc>>24)] ^
		t.byte[3][byte(crc>>32)] ^ t.byte[2][byte(crc>>40)] ^ t.byte[1][byte(crc>>48)] ^ t.byte[0][byte(crc>>56)]
}

// update adds p to a CRC.
func (t *crc64Tables) update(crc uint64, p []byte) uint64 {
	crc = ^crc
	for ; len(p) >= 2*crcLane; p = p[2*crcLane:] {
		var second uint64
		for i := 0; i < crcLane; i += 8 {
			crc = t.eight(crc ^ binary.LittleEndian.Uint64(p[i:]))
			second = t.eight(second ^ binary.LittleEndian.Uint64(p[crcLane+i:]))
		}
		for i, moved := range t.lane {
			second ^= moved & -(crc >> i & 1)
		}
		crc = second
	}
	for ; len(p) >= 8; p = p[8:] {
		crc = t.eight(crc ^ binary.LittleEndian.Uint64(p))
	}
	for _, b := range p {
		crc = crc>>8 ^ t.byte[0][byte(crc)^b]
	}
	return ^crc
}
