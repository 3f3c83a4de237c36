package xz

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"hash/crc64"
)

// file builds .xz files by hand, right or wrong, for what no encoder writes.
// Checksums are right unless a test breaks them.
type file struct{ bytes.Buffer }

// builtBlock is a block to build. Zero values give a plain valid one.
type builtBlock struct {
	lzma2   []byte // the compressed data
	plain   int    // how much they expand to
	flags   byte   // of the header, without the number of filters
	sizes   []uint64
	filters []byte // encoded filter flags; nil for LZMA2 with 4 KiB
	count   byte   // filters
	extra   []byte // in the header's padding
	header  func([]byte)
	padding byte
	check   []byte
}

func (f *file) streamHeader(flags ...byte) {
	f.WriteString(headerMagic)
	f.Write(flags)
	f.Write(sum32(flags))
}

func sum32(p []byte) []byte { return binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(p)) }

func number(v uint64) []byte { return binary.AppendUvarint(nil, v) }

// block appends a block and returns its record for the index.
func (f *file) block(b builtBlock) blockSizes {
	if b.filters == nil {
		b.filters, b.count = []byte{filterLZMA2, 1, 0}, 1
	}
	h := []byte{0, b.flags | (b.count - 1)}
	for _, v := range b.sizes {
		h = append(h, number(v)...)
	}
	h = append(append(h, b.filters...), b.extra...)
	for len(h)%4 != 0 {
		h = append(h, 0)
	}
	h[0] = byte(len(h) / 4)
	if b.header != nil {
		b.header(h)
	}
	h = append(h, sum32(h)...)
	start := f.Len()
	f.Write(h)
	f.Write(b.lzma2)
	n := f.Len() - start
	for f.Len()%4 != 0 {
		f.WriteByte(b.padding)
	}
	f.Write(b.check)
	return blockSizes{int64(n + len(b.check)), int64(b.plain)}
}

// index appends an index with these records and returns its size.
func (f *file) index(records ...blockSizes) int {
	return f.rawIndex(uint64(len(records)), 0, records...)
}

func (f *file) rawIndex(count uint64, padding byte, records ...blockSizes) int {
	p := append([]byte{0}, number(count)...)
	for _, r := range records {
		p = append(append(p, number(uint64(r.unpadded))...), number(uint64(r.plain))...)
	}
	for len(p)%4 != 0 {
		p = append(p, padding)
	}
	p = append(p, sum32(p)...)
	f.Write(p)
	return len(p)
}

func (f *file) footer(indexSize int, flags ...byte) {
	p := binary.LittleEndian.AppendUint32(nil, uint32(indexSize/4-1))
	p = append(p, flags...)
	f.Write(sum32(p))
	f.Write(p)
	f.WriteString(footerMagic)
}

// whole builds a file of one block, with CRC32.
func whole(b builtBlock) []byte {
	var f file
	f.streamHeader(0, byte(checkCRC32))
	f.footer(f.index(f.block(b)), 0, byte(checkCRC32))
	return f.Bytes()
}

// stored is an LZMA2 chunk of uncompressed data that resets the dictionary.
func stored(text string) []byte { return chunkOf(1, text) }

func chunkOf(control byte, text string) []byte {
	p := binary.BigEndian.AppendUint16([]byte{control}, uint16(len(text)-1))
	return append(p, text...)
}

func end(chunks ...[]byte) []byte { return append(bytes.Join(chunks, nil), 0) }

func crc64Of(text string) []byte {
	return binary.LittleEndian.AppendUint64(nil, crc64.Checksum([]byte(text), crc64.MakeTable(crc64.ECMA)))
}
