package xz

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
)

// blockSizes is a block's record in the index, both in bytes.
type blockSizes struct {
	unpadded int64 // header, compressed data and check
	plain    int64
}

// blockList stands for a stream's blocks in a few bytes, however many they
// are: two lists are equal if their counts and their sums are.
type blockList struct {
	count uint64
	sum   hash.Hash
}

func newBlockList() *blockList { return &blockList{sum: sha256.New()} }

func (l *blockList) add(b blockSizes) {
	l.count++
	record := binary.LittleEndian.AppendUint64(nil, uint64(b.unpadded))
	l.sum.Write(binary.LittleEndian.AppendUint64(record, uint64(b.plain)))
}

func (l *blockList) equal(m *blockList) bool {
	return l.count == m.count && string(l.sum.Sum(nil)) == string(m.sum.Sum(nil))
}

// readIndex reads the index behind its first byte, which is zero and taken
// already, and compares it with the blocks that were read. It returns the
// index's size in bytes.
func readIndex(in *input, blocks *blockList) (int64, error) {
	start := in.offset() - 1
	crc := crc32.ChecksumIEEE([]byte{0})
	count, err := indexNumber(in, &crc)
	if err != nil {
		return 0, err
	}
	if count != blocks.count {
		return 0, corrupt("it lists %d blocks, the stream has %d", count, blocks.count)
	}
	listed := newBlockList()
	for range count {
		unpadded, err := indexNumber(in, &crc)
		if err != nil {
			return 0, err
		}
		plain, err := indexNumber(in, &crc)
		if err != nil {
			return 0, err
		}
		listed.add(blockSizes{int64(unpadded), int64(plain)})
	}
	if !listed.equal(blocks) {
		return 0, corrupt("the sizes of the blocks that it lists are not those of the stream")
	}
	for (in.offset()-start)%4 != 0 {
		b, err := in.byte()
		if err != nil {
			return 0, err
		}
		if b != 0 {
			return 0, corrupt("its padding is not zero")
		}
		crc = crc32.Update(crc, crc32.IEEETable, []byte{0})
	}
	want, err := in.take(4)
	if err != nil {
		return 0, err
	}
	if binary.LittleEndian.Uint32(want) != crc {
		return 0, corrupt("CRC32 does not match")
	}
	return in.offset() - start, nil
}

// indexNumber reads a variable-length integer and adds it to the CRC.
func indexNumber(in *input, crc *uint32) (uint64, error) {
	var p [9]byte
	for n := 1; ; n++ {
		b, err := in.byte()
		if err != nil {
			return 0, err
		}
		p[n-1] = b
		if b < 0x80 || n == len(p) {
			v, used := vli(p[:n])
			if used <= 0 {
				return 0, corrupt("a number is not validly encoded")
			}
			*crc = crc32.Update(*crc, crc32.IEEETable, p[:n])
			return v, nil
		}
	}
}
