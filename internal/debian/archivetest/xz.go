package archivetest

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// XZ returns data as an .xz file of one block that compresses nothing: LZMA2
// has chunks for bytes as they are. See the .xz file format, version 1.2.1.
func XZ(data []byte) []byte {
	flags := []byte{0, 1} // CRC32 as the check
	var out bytes.Buffer
	out.Write([]byte{0xfd, '7', 'z', 'X', 'Z', 0})
	out.Write(flags)
	out.Write(crc(flags))

	// Size of 12 bytes, one filter: LZMA2 with a dictionary of 64 KiB.
	header := []byte{2, 0, 0x21, 1, 8, 0, 0, 0}
	out.Write(header)
	out.Write(crc(header))
	unpadded := int64(12)
	chunks := stored(data)
	out.Write(chunks)
	unpadded += int64(len(chunks))
	pad(&out)
	out.Write(crc(data))
	unpadded += 4

	index := new(bytes.Buffer)
	index.Write([]byte{0, 1})
	index.Write(binary.AppendUvarint(nil, uint64(unpadded)))
	index.Write(binary.AppendUvarint(nil, uint64(len(data))))
	pad(index)
	index.Write(crc(index.Bytes()))
	out.Write(index.Bytes())

	footer := append(binary.LittleEndian.AppendUint32(nil, uint32(index.Len()/4-1)), flags...)
	out.Write(crc(footer))
	out.Write(footer)
	out.WriteString("YZ")
	return out.Bytes()
}

// stored writes data as uncompressed LZMA2 chunks; the first resets the
// dictionary.
func stored(data []byte) []byte {
	var out []byte
	control := byte(1)
	for len(data) > 0 {
		n := min(len(data), 1<<16)
		out = append(out, control)
		out = binary.BigEndian.AppendUint16(out, uint16(n-1))
		out = append(out, data[:n]...)
		data, control = data[n:], 2
	}
	return append(out, 0)
}

func crc(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(b))
}

// pad fills up to a multiple of four bytes.
func pad(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}
