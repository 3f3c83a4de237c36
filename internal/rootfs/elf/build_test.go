package elf

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// file builds small ELF files of either class and byte order, with nothing but
// what this package reads: one loaded segment that covers everything.
type file struct {
	class   int
	order   binary.ByteOrder
	typ     Type
	machine Machine
	flags   uint32
	interp  string
	tags    [][2]any // DT_ tag; a string to go into the string table, or a number
	verneed []Need
	verdef  []string
	notes   []note
}

type note struct {
	segment uint32 // ptNote or ptProperty
	kind    uint32
	desc    []byte
}

func (f *file) word(v uint64) []byte {
	b := make([]byte, f.class/8)
	if f.class == 64 {
		f.order.PutUint64(b, v)
	} else {
		f.order.PutUint32(b, uint32(v))
	}
	return b
}

func (f *file) u16(v int) []byte {
	b := make([]byte, 2)
	f.order.PutUint16(b, uint16(v))
	return b
}

func (f *file) u32(v int) []byte {
	b := make([]byte, 4)
	f.order.PutUint32(b, uint32(v))
	return b
}

// vaddr is where the loaded segment starts in memory.
const vaddr = 0x10000

type part struct {
	kind  uint32
	align uint64
	data  []byte
}

// bytes lays the file out: header, program headers, segments' contents.
func (f *file) bytes() []byte {
	var parts []part
	if f.interp != "" {
		parts = append(parts, part{ptInterp, 1, []byte(f.interp + "\x00")})
	}
	for _, n := range f.notes {
		d := bytes.Join([][]byte{f.u32(4), f.u32(len(n.desc)), f.u32(int(n.kind)), []byte("GNU\x00"), n.desc}, nil)
		parts = append(parts, part{n.segment, uint64(f.class / 8), d})
	}
	head := 52
	if f.class == 64 {
		head = 64
	}
	p := parser{info: Info{Class: f.class}}
	phnum := len(parts) + 2
	start := head + phnum*p.phentsize()
	var body []byte
	place := func(d []byte) uint64 {
		for len(body)%8 != 0 {
			body = append(body, 0)
		}
		at := start + len(body)
		body = append(body, d...)
		return uint64(at)
	}
	var headers []segment
	for _, q := range parts {
		headers = append(headers, segment{q.kind, place(q.data), 0, uint64(len(q.data)), q.align})
	}
	dyn := f.dynamic(place)
	headers = append(headers, segment{ptDynamic, place(dyn), 0, uint64(len(dyn)), 8})
	place(nil)
	headers = append(headers, segment{ptLoad, 0, vaddr, uint64(start + len(body)), 4096})
	out := f.header(phnum)
	for _, h := range headers {
		out = append(out, f.programHeader(h)...)
	}
	return append(out, body...)
}

func (f *file) header(phnum int) []byte {
	id := []byte{0x7f, 'E', 'L', 'F', byte(f.class / 32), 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if f.order == binary.ByteOrder(binary.BigEndian) {
		id[5] = 2
	}
	p := parser{info: Info{Class: f.class}}
	head := 52
	if f.class == 64 {
		head = 64
	}
	return bytes.Join([][]byte{
		id, f.u16(int(f.typ)), f.u16(int(f.machine)), f.u32(1), f.word(0), f.word(uint64(head)), f.word(0),
		f.u32(int(f.flags)), f.u16(head), f.u16(p.phentsize()), f.u16(phnum), f.u16(0), f.u16(0), f.u16(0),
	}, nil)
}

func (f *file) programHeader(h segment) []byte {
	if f.class == 64 {
		return bytes.Join([][]byte{f.u32(int(h.kind)), f.u32(4), f.word(h.off), f.word(h.vaddr), f.word(h.vaddr), f.word(h.size), f.word(h.size), f.word(h.align)}, nil)
	}
	return bytes.Join([][]byte{f.u32(int(h.kind)), f.word(h.off), f.word(h.vaddr), f.word(h.vaddr), f.word(h.size), f.word(h.size), f.u32(4), f.word(h.align)}, nil)
}

// dynamic places the tables and returns the dynamic segment.
func (f *file) dynamic(place func([]byte) uint64) []byte {
	strs := []byte{0}
	str := func(s string) uint64 {
		at := len(strs)
		strs = append(strs, s+"\x00"...)
		return uint64(at)
	}
	var out []byte
	tag := func(t, v uint64) { out = append(append(out, f.word(t)...), f.word(v)...) }
	for _, t := range f.tags {
		switch v := t[1].(type) {
		case string:
			tag(uint64(t[0].(int)), str(v))
		case int:
			tag(uint64(t[0].(int)), uint64(v))
		}
	}
	if len(f.verneed) > 0 {
		tag(dtVerneed, vaddr+place(f.needRecords(str)))
		tag(dtVerneedNum, uint64(len(f.verneed)))
	}
	if len(f.verdef) > 0 {
		tag(dtVerdef, vaddr+place(f.defRecords(str)))
		tag(dtVerdefNum, uint64(len(f.verdef)))
	}
	size := uint64(len(strs))
	tag(dtStrtab, vaddr+place(strs))
	tag(dtStrsize, size)
	tag(dtNull, 0)
	return out
}

func (f *file) needRecords(str func(string) uint64) []byte {
	var out []byte
	for i, n := range f.verneed {
		next := 16 + 16*len(n.Versions)
		if i == len(f.verneed)-1 {
			next = 0
		}
		out = append(out, bytes.Join([][]byte{f.u16(1), f.u16(len(n.Versions)), f.u32(int(str(n.File))), f.u32(16), f.u32(next)}, nil)...)
		for j, v := range n.Versions {
			flags, step := 0, 16
			if v.Weak {
				flags = 2
			}
			if j == len(n.Versions)-1 {
				step = 0
			}
			out = append(out, bytes.Join([][]byte{f.u32(0), f.u16(flags), f.u16(2), f.u32(int(str(v.Name))), f.u32(step)}, nil)...)
		}
	}
	return out
}

func (f *file) defRecords(str func(string) uint64) []byte {
	var out []byte
	for i, v := range f.verdef {
		next := 28
		if i == len(f.verdef)-1 {
			next = 0
		}
		out = append(out, bytes.Join([][]byte{f.u16(1), f.u16(0), f.u16(i + 1), f.u16(1), f.u32(0), f.u32(20), f.u32(next), f.u32(int(str(v))), f.u32(0)}, nil)...)
	}
	return out
}

// library is a file that uses everything.
func library(class int, order binary.ByteOrder, m Machine) *file {
	abi := make([]byte, 16)
	order.PutUint32(abi[4:], 3)
	order.PutUint32(abi[8:], 2)
	isa := make([]byte, 16)
	order.PutUint32(isa, isaNeeded)
	order.PutUint32(isa[4:], 4)
	order.PutUint32(isa[8:], 5)
	return &file{
		class: class, order: order, typ: Shared, machine: m, flags: 0x400, interp: "/lib/ld.so.1",
		tags: [][2]any{
			{dtNeeded, "libb.so.2"}, {dtNeeded, "libc.so.6"}, {dtSoname, "liba.so.1"},
			{dtRunPath, "$ORIGIN/../lib:" + strings.Repeat("/long", 300)}, {dtFlags1, int(FlagPIE)},
		},
		verneed: []Need{
			{"libc.so.6", []Version{{Name: "GLIBC_2.17"}, {Name: "GLIBC_2.34", Weak: true}}},
			{"libb.so.2", []Version{{Name: "B_1"}}},
		},
		verdef: []string{"liba.so.1", "A_1", "A_2"},
		notes:  []note{{ptNote, noteABITag, abi}, {ptProperty, noteProperty, isa}},
	}
}
