package rootfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// likeness is a key under which files that resemble each other sort together.
//
// Zone files that end in the same rule share most of their transitions: put
// side by side they are 6% smaller. ELF files whose segments have the same
// sizes are often the same code over other tables, as glibc's character set
// modules are: 4% of the whole C library.
func likeness(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("TZif")):
		return "1zone " + zoneRule(data) + fmt.Sprintf(" %08d", len(data))
	case bytes.HasPrefix(data, []byte("\x7fELF")):
		return fmt.Sprintf("3elf %08d", len(data)/4096) + segments(data)
	}
	return ""
}

// zoneRule is the TZ string in the last line of a zone file: tzfile(5).
func zoneRule(data []byte) string {
	end := bytes.TrimSuffix(data, []byte("\n"))
	rule := end[bytes.LastIndexByte(end, '\n')+1:]
	return string(rule[:min(len(rule), 64)])
}

// segments are the sizes in the file of the first loaded segments: elf(5). A
// header that lies gives an empty key, not an error.
func segments(data []byte) string {
	const load, most = 1, 4
	if len(data) < 64 {
		return ""
	}
	var order binary.ByteOrder = binary.LittleEndian
	if data[5] == 2 {
		order = binary.BigEndian
	}
	wide := data[4] == 2
	var at uint64
	var size, n int
	if wide {
		at, size, n = order.Uint64(data[32:]), int(order.Uint16(data[54:])), int(order.Uint16(data[56:]))
	} else {
		at, size, n = uint64(order.Uint32(data[28:])), int(order.Uint16(data[42:])), int(order.Uint16(data[44:]))
	}
	var b strings.Builder
	for found := 0; n > 0 && found < most; n-- {
		if size < 32 || at > uint64(len(data)) || uint64(len(data))-at < 56 {
			return b.String()
		}
		p := data[at:]
		if order.Uint32(p) == load {
			found++
			if wide {
				fmt.Fprintf(&b, " %08x", order.Uint64(p[32:]))
			} else {
				fmt.Fprintf(&b, " %08x", order.Uint32(p[16:]))
			}
		}
		at += uint64(size)
	}
	return b.String()
}
