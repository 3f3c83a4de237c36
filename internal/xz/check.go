package xz

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
)

// checkType is the kind of check that every block of a stream ends with.
type checkType byte

const (
	checkNone   checkType = 0
	checkCRC32  checkType = 1
	checkCRC64  checkType = 4
	checkSHA256 checkType = 10
)

func (t checkType) known() bool {
	return t == checkNone || t == checkCRC32 || t == checkCRC64 || t == checkSHA256
}

// size is the length in bytes of the check's value.
func (t checkType) size() int {
	switch t {
	case checkCRC32:
		return 4
	case checkCRC64:
		return 8
	case checkSHA256:
		return sha256.Size
	}
	return 0
}

// blockCheck computes a block's check while it is decoded.
type blockCheck struct {
	kind  checkType
	crc32 uint32
	crc64 uint64
	sha   hash.Hash
}

func newBlockCheck(t checkType) blockCheck {
	c := blockCheck{kind: t}
	if t == checkSHA256 {
		c.sha = sha256.New()
	}
	return c
}

// update adds plain data.
func (c *blockCheck) update(p []byte) {
	switch c.kind {
	case checkCRC32:
		c.crc32 = crc32.Update(c.crc32, crc32.IEEETable, p)
	case checkCRC64:
		c.crc64 = crc64Table().update(c.crc64, p)
	case checkSHA256:
		c.sha.Write(p)
	}
}

// verify compares the value with want, which stands at offset in the file.
func (c *blockCheck) verify(want []byte, offset int64) error {
	var got []byte
	switch c.kind {
	case checkCRC32:
		got = binary.LittleEndian.AppendUint32(nil, c.crc32)
	case checkCRC64:
		got = binary.LittleEndian.AppendUint64(nil, c.crc64)
	case checkSHA256:
		got = c.sha.Sum(nil)
	}
	if bytes.Equal(got, want) {
		return nil
	}
	return errAt(offset, "block check", corrupt("it is %x, the decoded data have %x", want, got))
}
