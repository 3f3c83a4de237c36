package xz

import (
	"encoding/binary"
	"hash/crc32"
)

const (
	headerMagic = "\xfd7zXZ\x00"
	footerMagic = "YZ"

	streamHeaderSize = 12
	maxBlockHeader   = 1024
	maxVLI           = 1<<63 - 1
	unknownSize      = -1 // a size that a block header does not tell
)

// vli takes a variable-length integer from the start of p, and returns it
// with its length. The length is 0 where p ends inside the number and -1
// where it is not validly encoded.
func vli(p []byte) (v uint64, n int) {
	for i, b := range p {
		if i == 9 || i > 0 && b == 0 {
			return 0, -1
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return v, i + 1
		}
	}
	if len(p) >= 9 {
		return 0, -1
	}
	return 0, 0
}

// streamFlags takes the check's type from the two bytes that the stream's
// header and footer share.
func streamFlags(p []byte) (checkType, error) {
	if p[0] != 0 || p[1]&0xf0 != 0 {
		return 0, unsupported("stream flags %02x %02x", p[0], p[1])
	}
	return checkType(p[1]), nil
}

// parseStreamHeader reads the 12 bytes that a stream begins with.
func parseStreamHeader(p []byte) (checkType, error) {
	if string(p[:6]) != headerMagic {
		return 0, ErrFormat
	}
	if crc32.ChecksumIEEE(p[6:8]) != binary.LittleEndian.Uint32(p[8:]) {
		return 0, corrupt("CRC32 does not match")
	}
	check, err := streamFlags(p[6:8])
	if err != nil {
		return 0, err
	}
	if !check.known() {
		return 0, unsupported("check of type %d", int(check))
	}
	return check, nil
}

// parseStreamFooter reads the 12 bytes that a stream ends with and compares
// them with its header's check and the size of the index before it.
func parseStreamFooter(p []byte, check checkType, indexSize int64) error {
	if string(p[10:12]) != footerMagic {
		return corrupt("it does not end with YZ")
	}
	if crc32.ChecksumIEEE(p[4:10]) != binary.LittleEndian.Uint32(p) {
		return corrupt("CRC32 does not match")
	}
	got, err := streamFlags(p[8:10])
	if err != nil {
		return err
	}
	if got != check {
		return corrupt("check of type %d, stream header says %d", int(got), int(check))
	}
	if back := (int64(binary.LittleEndian.Uint32(p[4:])) + 1) * 4; back != indexSize {
		return corrupt("index of %d bytes, it has %d", back, indexSize)
	}
	return nil
}

// blockHeader is what a block says of itself.
type blockHeader struct {
	size         int   // of the header, bytes
	compressed   int64 // size of the compressed data, or unknownSize
	uncompressed int64 // size of the plain data, or unknownSize
	dictSize     uint32
	filters      []filterSpec // in the order of encoding, without LZMA2
}

// parseBlockHeader reads a block header of (p[0]+1)*4 bytes.
func parseBlockHeader(p []byte) (blockHeader, error) {
	h := blockHeader{size: len(p), compressed: unknownSize, uncompressed: unknownSize}
	body := p[:len(p)-4]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(p[len(p)-4:]) {
		return h, corrupt("CRC32 does not match")
	}
	flags := body[1]
	if flags&0x3c != 0 {
		return h, unsupported("block flags %02x", flags)
	}
	body = body[2:]
	number := func() (uint64, error) {
		v, n := vli(body)
		if n <= 0 {
			return 0, corrupt("a number is not validly encoded")
		}
		body = body[n:]
		return v, nil
	}
	if flags&0x40 != 0 {
		v, err := number()
		if err != nil {
			return h, err
		}
		// The sum with the header and the largest check must fit.
		if v == 0 || v > maxVLI-maxBlockHeader-64 {
			return h, corrupt("compressed size of %d bytes", v)
		}
		h.compressed = int64(v)
	}
	if flags&0x80 != 0 {
		v, err := number()
		if err != nil {
			return h, err
		}
		h.uncompressed = int64(v)
	}
	for last := int(flags & 3); last >= 0; last-- {
		id, err := number()
		if err != nil {
			return h, err
		}
		n, err := number()
		if err != nil {
			return h, err
		}
		if n > uint64(len(body)) {
			return h, corrupt("a filter's properties reach past the header")
		}
		props := body[:n]
		body = body[n:]
		if last > 0 {
			f, err := parseFilter(id, props)
			if err != nil {
				return h, err
			}
			h.filters = append(h.filters, f)
		} else if h.dictSize, err = parseLZMA2(id, props); err != nil {
			return h, err
		}
	}
	for _, b := range body {
		if b != 0 {
			return h, unsupported("header fields behind the filters")
		}
	}
	return h, nil
}

// parseLZMA2 returns the dictionary size, in bytes, of a chain's last filter.
func parseLZMA2(id uint64, props []byte) (uint32, error) {
	if id != filterLZMA2 {
		return 0, unsupported("filter %s as the last one", filterName(id))
	}
	if len(props) != 1 || props[0] > 40 {
		return 0, unsupported("LZMA2 properties % x", props)
	}
	b := props[0]
	if b == 40 {
		return 1<<32 - 1, nil
	}
	return (2 | uint32(b&1)) << (b/2 + 11), nil
}
