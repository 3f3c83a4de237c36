package xz

import "encoding/binary"

// maxPlain is the most that one LZMA2 chunk can expand to, in bytes.
const maxPlain = 2 << 20

// lzma2 decodes a sequence of LZMA2 chunks. The bytes decoded so far are the
// dictionary: buf[base:pos], of which the last dictSize may be referred to.
type lzma2 struct {
	model
	dictSize  uint32
	needDict  bool // the next chunk must reset the dictionary
	needProps bool // the next LZMA chunk must set lc, lp and pb

	buf  []byte // has at least matchSlack bytes behind any chunk's end
	base int    // where the dictionary begins; negative once buf has slid
	pos  int    // where it ends

	tail chunkInput // for chunks at the end of what is buffered
}

// begin sets up for a new block.
func (d *lzma2) begin(buf []byte, dictSize uint32) {
	d.buf, d.base, d.pos, d.dictSize = buf, 0, 0, dictSize
	d.needDict, d.needProps = true, true
}

// chunkHeader is the start of an LZMA2 chunk.
type chunkHeader struct {
	control byte
	props   byte // lc, lp and pb, if control says so
	packed  int  // bytes of compressed data
	plain   int  // bytes that they expand to
}

func (h chunkHeader) last() bool       { return h.control == 0 }
func (h chunkHeader) resetsDict() bool { return h.control >= 0xe0 || h.control == 1 }
func (h chunkHeader) isLZMA() bool     { return h.control >= 0x80 }
func (h chunkHeader) setsProps() bool  { return h.control >= 0xc0 }
func (h chunkHeader) resets() bool     { return h.control >= 0xa0 }

// readChunkHeader reads the next chunk's header from in.
func readChunkHeader(in *input) (chunkHeader, error) {
	var h chunkHeader
	var err error
	if h.control, err = in.byte(); err != nil || h.last() {
		return h, err
	}
	if !h.isLZMA() {
		if h.control > 2 {
			return h, corrupt("LZMA2 control byte %02x", h.control)
		}
		p, err := in.take(2)
		if err != nil {
			return h, err
		}
		h.plain = int(binary.BigEndian.Uint16(p)) + 1
		h.packed = h.plain
		return h, nil
	}
	p, err := in.take(4)
	if err != nil {
		return h, err
	}
	h.plain = int(h.control&0x1f)<<16 + int(binary.BigEndian.Uint16(p)) + 1
	h.packed = int(binary.BigEndian.Uint16(p[2:])) + 1
	if h.setsProps() {
		h.props, err = in.byte()
	}
	return h, err
}

// prepare does the resets that a chunk asks for, and refuses a chunk that
// lacks one that is due.
func (d *lzma2) prepare(h chunkHeader) error {
	if h.resetsDict() {
		d.needDict, d.needProps = false, true
		d.base = d.pos
	} else if d.needDict {
		return corrupt("the first LZMA2 chunk does not reset the dictionary")
	}
	if !h.isLZMA() {
		return nil
	}
	if h.setsProps() {
		if !d.setProperties(h.props) {
			return corrupt("LZMA properties byte %02x", h.props)
		}
		d.needProps = false
	} else if d.needProps {
		return corrupt("an LZMA2 chunk lacks its properties")
	}
	if h.resets() {
		d.reset()
	}
	return nil
}

// decode reads a chunk's data from in and appends it to the dictionary. There
// must be room for it in buf, with matchSlack.
func (d *lzma2) decode(in *input, h chunkHeader) error {
	end := d.pos + h.plain
	if !h.isLZMA() {
		if err := in.full(d.buf[d.pos:end]); err != nil {
			return err
		}
		d.pos = end
		return nil
	}
	if err := in.want(h.packed); err != nil {
		return err
	}
	packed := &d.tail
	if rest := in.rest(); len(rest) >= len(packed) {
		packed = (*chunkInput)(rest)
	} else {
		copy(packed[:], rest[:h.packed])
	}
	if !d.chunk(packed, h.packed, d.buf, d.base, d.pos, end, d.dictSize) {
		return corrupt("LZMA data do not decode")
	}
	d.pos = end
	in.pos += h.packed
	return nil
}

// room makes room in buf for n more bytes, by moving what may still be
// referred to to the start. It reports whether there is room now.
func (d *lzma2) room(n int) bool {
	if d.pos+n+matchSlack <= len(d.buf) {
		return true
	}
	keep := d.pos - d.base
	if int64(keep) > int64(d.dictSize) {
		keep = int(d.dictSize)
	}
	d.slide(d.buf, keep)
	return d.pos+n+matchSlack <= len(d.buf)
}

// grow moves the dictionary into a larger buffer.
func (d *lzma2) grow(buf []byte) {
	d.slide(buf, d.pos-max(d.base, 0))
	d.buf = buf
}

// slide moves the last keep bytes to the start of buf.
func (d *lzma2) slide(buf []byte, keep int) {
	shift := d.pos - keep
	copy(buf, d.buf[shift:d.pos])
	d.pos -= shift
	d.base -= shift
	if d.base < 0 {
		// A negative base tells no more than that the dictionary is full, and
		// the position modulo 16, by which bits are modelled. Kept small, it
		// does not overflow on 32-bit machines.
		d.base = -(-d.base & 15)
	}
}
