package ldcache

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Sizes of the file's parts, in bytes. See sysdeps/generic/dl-cache.h.
const (
	oldHeaderSize  = 16
	oldEntrySize   = 12
	headerSize     = 48
	entrySize      = 24
	extensionSize  = 8  // before the sections
	sectionSize    = 16 // a section's place in the directory
	extensionMagic = 0xeaa42174
	hwcapExtension = 1 << 62 // in an entry: the lower half is an index of the hwcaps section
)

// Bytes is the file. Since 2.32 it holds the new format alone; before, the new
// one stands in what an old reader takes for the string table.
func (c *Cache) Bytes() []byte {
	w := &writer{Cache: c, order: binary.LittleEndian}
	if c.target.big {
		w.order = binary.BigEndian
	}
	if c.target.minor < 32 {
		return w.compatible()
	}
	return w.current()
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

// current writes the header, the entries, the strings and the extensions.
func (w *writer) current() []byte {
	strs, at := stringTable(w.strings())
	base := uint32(headerSize + entrySize*len(w.Entries))
	extension := (base + uint32(len(strs)) + 3) &^ 3
	w.out = append(w.out, "glibc-ld.so.cache1.1"...)
	w.u32(uint32(len(w.Entries)))
	w.u32(uint32(len(strs)))
	endian := byte(2)
	if w.target.big {
		endian = 3
	}
	if w.target.minor < 33 {
		endian, extension = 0, 0 // neither was told yet
	}
	w.out = append(w.out, endian, 0, 0, 0)
	w.u32(extension)
	w.out = append(w.out, make([]byte, 12)...)
	used := w.usedHwcaps()
	for _, e := range w.Entries {
		w.u32(uint32(e.Flags))
		w.u32(base + at[e.Name])
		w.u32(base + at[e.Path])
		w.u32(0)
		if e.Hwcap == "" {
			w.u64(0)
			continue
		}
		w.u64(hwcapExtension | uint64(e.isaLevel)<<32 | uint64(slices.Index(used, e.Hwcap)))
	}
	w.out = append(w.out, strs...)
	if extension != 0 {
		w.out = append(w.out, make([]byte, int(extension)-len(w.out))...)
		w.extensions(extension, base, used, at)
	}
	return w.out
}

// extensions is write_extensions: the generator's name, and the names of the
// hwcaps directories where there are any.
func (w *writer) extensions(at, base uint32, used []string, strs map[string]uint32) {
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
func (w *writer) usedHwcaps() []string {
	var out []string
	for _, e := range w.Entries {
		if e.Hwcap != "" && !slices.Contains(out, e.Hwcap) {
			out = append(out, e.Hwcap)
		}
	}
	slices.Sort(out)
	return out
}

// strings are all that the string table must hold.
func (w *writer) strings() []string {
	out := slices.Clone(w.hwcapNames)
	for _, e := range w.Entries {
		out = append(out, e.Name, e.Path)
	}
	return out
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

// compatible is the file of glibc 2.31: entries in the old format, those in
// the new one, then names and paths in the entries' order, none shared.
func (w *writer) compatible() []byte {
	n := len(w.Entries)
	even := (n + 1) &^ 1 // so that what follows is aligned everywhere
	base := uint32(headerSize + entrySize*n)
	var strs []byte
	var old, cur writer
	old.order, cur.order = w.order, w.order
	for _, e := range w.Entries {
		key := base + uint32(len(strs))
		value := key + uint32(len(e.Name)) + 1
		strs = append(append(strs, e.Name...), 0)
		strs = append(append(strs, e.Path...), 0)
		old.u32(uint32(e.Flags))
		old.u32(key)
		old.u32(value)
		cur.u32(uint32(e.Flags))
		cur.u32(key)
		cur.u32(value)
		cur.u32(e.osVersion)
		cur.u64(0)
	}
	if n < even {
		old.out = append(old.out, old.out[len(old.out)-oldEntrySize:]...)
	}
	w.out = append(w.out, "ld.so-1.7.0\x00"...)
	w.u32(uint32(even))
	w.out = append(w.out, old.out...)
	w.out = append(w.out, "glibc-ld.so.cache1.1"...)
	w.u32(uint32(n))
	w.u32(uint32(len(strs)))
	w.out = append(w.out, make([]byte, 20)...)
	w.out = append(w.out, cur.out...)
	return append(w.out, strs...)
}
