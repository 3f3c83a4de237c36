package ldcache

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Sizes of the file's parts, in bytes. See sysdeps/generic/dl-cache.h.
const (
	headerSize     = 48
	entrySize      = 24
	extensionSize  = 8  // before the sections
	sectionSize    = 16 // a section's place in the directory
	extensionMagic = 0xeaa42174
	hwcapExtension = 1 << 62 // in an entry: the lower half is an index of the hwcaps section
)

// Bytes is the file, in the new format alone; Debian's 2.31 has that of 2.32
// already, but for the extensions.
func (c *Cache) Bytes() []byte {
	w := &writer{Cache: c, order: binary.LittleEndian}
	if c.target.big {
		w.order = binary.BigEndian
	}
	base := uint32(headerSize + entrySize*len(c.Entries))
	if c.target.minor < 33 {
		strs, at := plainStrings(c.Entries)
		w.file(base, 0, strs, at)
		return w.out
	}
	strs, at := stringTable(append(c.strings(), c.hwcapNames...))
	extension := (base + uint32(len(strs)) + 3) &^ 3
	w.file(base, extension, strs, func(i int) (uint32, uint32) {
		return at[c.Entries[i].Name], at[c.Entries[i].Path]
	})
	w.out = append(w.out, make([]byte, int(extension)-len(w.out))...)
	w.extensions(extension, base, at)
	return w.out
}

// byteOrder is either of encoding/binary's.
type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

type writer struct {
	*Cache
	order byteOrder
	out   []byte
}

func (w *writer) u32(v uint32) { w.out = w.order.AppendUint32(w.out, v) }
func (w *writer) u64(v uint64) { w.out = w.order.AppendUint64(w.out, v) }

// file writes the header, the entries and the strings. at gives the places of
// an entry's name and path among the strings.
func (w *writer) file(base, extension uint32, strs []byte, at func(i int) (name, path uint32)) {
	w.out = append(w.out, "glibc-ld.so.cache1.1"...)
	w.u32(uint32(len(w.Entries)))
	w.u32(uint32(len(strs)))
	endian := byte(2)
	if w.target.big {
		endian = 3
	}
	w.out = append(w.out, endian, 0, 0, 0)
	w.u32(extension)
	w.out = append(w.out, make([]byte, 12)...)
	used := w.usedHwcaps()
	for i, e := range w.Entries {
		name, path := at(i)
		w.u32(uint32(e.Flags))
		w.u32(base + name)
		w.u32(base + path)
		w.u32(e.osVersion)
		if e.Hwcap == "" {
			w.u64(0)
			continue
		}
		w.u64(hwcapExtension | uint64(e.isaLevel)<<32 | uint64(slices.Index(used, e.Hwcap)))
	}
	w.out = append(w.out, strs...)
}

// extensions is write_extensions: the generator's name, and the names of the
// hwcaps directories where there are any.
func (w *writer) extensions(at, base uint32, strs map[string]uint32) {
	used := w.usedHwcaps()
	generator := w.target.generator()
	sections := uint32(1)
	if len(used) > 0 {
		sections = 2
	}
	hwcaps := at + extensionSize + sections*sectionSize
	w.u32(extensionMagic)
	w.u32(sections)
	w.section(0, hwcaps+4*uint32(len(used)), uint32(len(generator)))
	if len(used) > 0 {
		w.section(1, hwcaps, 4*uint32(len(used)))
	}
	for _, name := range used {
		w.u32(base + strs[name])
	}
	w.out = append(w.out, generator...)
}

func (w *writer) section(tag, offset, size uint32) {
	w.u32(tag)
	w.u32(0)
	w.u32(offset)
	w.u32(size)
}

// usedHwcaps are the hwcaps directories that hold a library, sorted.
func (c *Cache) usedHwcaps() []string {
	var out []string
	for _, e := range c.Entries {
		if e.Hwcap != "" && !slices.Contains(out, e.Hwcap) {
			out = append(out, e.Hwcap)
		}
	}
	slices.Sort(out)
	return out
}

// strings are the names and paths of the entries.
func (c *Cache) strings() []string {
	var out []string
	for _, e := range c.Entries {
		out = append(out, e.Name, e.Path)
	}
	return out
}

// plainStrings are the names and paths in the entries' order, none shared.
func plainStrings(entries []Entry) (table []byte, at func(i int) (name, path uint32)) {
	var names []uint32
	for _, e := range entries {
		names = append(names, uint32(len(table)))
		table = append(append(table, e.Name...), 0)
		table = append(append(table, e.Path...), 0)
	}
	return table, func(i int) (name, path uint32) {
		return names[i], names[i] + uint32(len(entries[i].Name)) + 1
	}
}

// stringTable is stringtable_finalize: each string once, sorted by the reversed
// text from high to low, so that one which ends another is found in it.
func stringTable(all []string) (table []byte, at map[string]uint32) {
	at = map[string]uint32{}
	slices.SortFunc(all, compareTails)
	last := ""
	for _, s := range slices.Compact(all) {
		if !strings.HasSuffix(last, s) {
			table = append(append(table, s...), 0)
			last = s
		}
		at[s] = uint32(len(table) - 1 - len(s))
	}
	return table, at
}

// compareTails is finalize_compare.
func compareTails(a, b string) int {
	for i := 1; i <= min(len(a), len(b)); i++ {
		if x, y := a[len(a)-i], b[len(b)-i]; x != y {
			return int(y) - int(x)
		}
	}
	return len(b) - len(a)
}
