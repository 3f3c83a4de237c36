package elf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Types of program headers. See elf.h of glibc.
const (
	ptLoad     = 1
	ptDynamic  = 2
	ptInterp   = 3
	ptNote     = 4
	ptProperty = 0x6474e553
)

// Inspect is [Parse] for a caller that takes files as they come: it returns
// nil for a file that is not ELF, and for a damaged one an Info that says so.
// An error means that the file could not be read.
func Inspect(r io.ReaderAt, size int64) (*Info, error) {
	info, err := Parse(r, size)
	var damage *FormatError
	switch {
	case errors.Is(err, ErrNotELF):
		return nil, nil
	case errors.As(err, &damage):
		return &Info{Malformed: fmt.Sprintf("offset %d: %s", damage.Offset, damage.Fact)}, nil
	}
	return info, err
}

// Parse reads a file of size bytes. It returns [ErrNotELF] for a file that is
// not ELF, a [*FormatError] for a damaged one, and r's own errors.
func Parse(r io.ReaderAt, size int64) (*Info, error) {
	p := &parser{window: window{r: r, size: size}, names: window{r: r, size: size}}
	if size < 16 {
		return nil, ErrNotELF
	}
	ident, err := p.at(0, 16)
	if err != nil {
		return nil, err
	}
	if string(ident[:4]) != "\x7fELF" {
		return nil, ErrNotELF
	}
	for _, step := range []func() error{p.header, p.segments, p.dynamic, p.versionsNeeded, p.versionsDefined} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	// A copy: a pointer into the parser would keep r, and with it the bytes of
	// the whole file, in memory for as long as the facts.
	info := p.info
	return &info, nil
}

// parser holds a file while it is read.
type parser struct {
	window        // on records
	names  window // on strings, which lie elsewhere
	info   Info
	order  binary.ByteOrder
	phoff  int64
	phnum  int
	loads  []segment
	dyn    segment // the dynamic segment; size 0 for none

	// Of the dynamic segment: addresses are virtual, 0 for none.
	strtab, strsize     uint64
	verneed, verneednum uint64
	verdef, verdefnum   uint64
}

// segment is a program header. off and size are of the file.
type segment struct {
	kind                    uint32
	off, vaddr, size, align uint64
}

func (p *parser) header() error {
	ident, err := p.at(0, 16)
	if err != nil {
		return err
	}
	switch ident[5] {
	case 1:
		p.order = binary.LittleEndian
	case 2:
		p.order, p.info.BigEndian = binary.BigEndian, true
	default:
		return &FormatError{5, fmt.Sprintf("byte order %d", ident[5])}
	}
	switch ident[4] {
	case 1:
		p.info.Class = 32
	case 2:
		p.info.Class = 64
	default:
		return &FormatError{4, fmt.Sprintf("class %d", ident[4])}
	}
	p.info.OSABI = ident[7]
	length, phoff, flags, phentsize := 52, 28, 36, 42
	if p.info.Class == 64 {
		length, phoff, flags, phentsize = 64, 32, 48, 54
	}
	h, err := p.at(0, length)
	if err != nil {
		return err
	}
	p.info.Type = Type(p.order.Uint16(h[16:]))
	p.info.Machine = Machine(p.order.Uint16(h[18:]))
	p.info.Flags = p.order.Uint32(h[flags:])
	p.phnum = int(p.order.Uint16(h[phentsize+2:]))
	off, entry := word(p.order, p.info.Class, h[phoff:]), int(p.order.Uint16(h[phentsize:]))
	if p.phnum == 0 {
		return nil
	}
	if entry != p.phentsize() || p.phnum*entry > maxHeaders {
		return &FormatError{int64(phentsize), fmt.Sprintf("%d program headers of %d bytes", p.phnum, entry)}
	}
	if off > uint64(p.size) {
		return &FormatError{int64(phoff), fmt.Sprintf("program headers at %d, the file has %d bytes", off, p.size)}
	}
	p.phoff = int64(off)
	return nil
}

func (p *parser) phentsize() int {
	if p.info.Class == 64 {
		return 56
	}
	return 32
}

// segments reads the program headers and what they point at, but the dynamic
// segment, which needs all of them.
func (p *parser) segments() error {
	var rest []segment
	for i := range p.phnum {
		s, err := p.segment(i)
		if err != nil {
			return err
		}
		switch s.kind {
		case ptLoad:
			p.loads = append(p.loads, s)
		case ptDynamic:
			p.dyn = s
		case ptInterp, ptNote, ptProperty:
			rest = append(rest, s)
		}
	}
	for _, s := range rest {
		if err := p.content(s); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) segment(i int) (segment, error) {
	b, err := p.at(p.phoff+int64(i*p.phentsize()), p.phentsize())
	if err != nil {
		return segment{}, err
	}
	o := p.order
	if p.info.Class == 64 {
		return segment{o.Uint32(b), o.Uint64(b[8:]), o.Uint64(b[16:]), o.Uint64(b[32:]), o.Uint64(b[48:])}, nil
	}
	return segment{o.Uint32(b), uint64(o.Uint32(b[4:])), uint64(o.Uint32(b[8:])), uint64(o.Uint32(b[16:])), uint64(o.Uint32(b[28:]))}, nil
}

// inFile reports whether a segment's bytes are in the file. Those of a file
// with debugging symbols alone often are not.
func (p *parser) inFile(s segment) bool {
	return s.off <= uint64(p.size) && s.size <= uint64(p.size)-s.off
}

func (p *parser) content(s segment) error {
	if !p.inFile(s) {
		return &FormatError{p.phoff, fmt.Sprintf("a segment of %d bytes at %d, the file has %d", s.size, s.off, p.size)}
	}
	if s.size == 0 {
		return nil
	}
	var err error
	switch {
	case s.kind == ptInterp && p.info.Interp == "": // the kernel takes the first
		p.info.Interp, err = p.names.text(int64(s.off), int64(s.size))
	case s.kind == ptNote && p.info.ABI == nil:
		err = p.notes(s, p.abiTag)
	case s.kind == ptProperty && p.x86() && s.align == uint64(p.info.Class/8):
		err = p.notes(s, p.property)
	}
	return err
}

func (p *parser) x86() bool { return p.info.Machine == X8664 || p.info.Machine == I386 }

// Tags of the dynamic segment. See elf.h of glibc.
const (
	dtNull       = 0
	dtNeeded     = 1
	dtStrtab     = 5
	dtStrsize    = 10
	dtSoname     = 14
	dtRPath      = 15
	dtRunPath    = 29
	dtFlags1     = 0x6ffffffb
	dtVerdef     = 0x6ffffffc
	dtVerdefNum  = 0x6ffffffd
	dtVerneed    = 0x6ffffffe
	dtVerneedNum = 0x6fffffff
)

// dynamic reads the dynamic segment: names last, since the string table may
// be told after them.
func (p *parser) dynamic() error {
	if p.dyn.size == 0 {
		return nil
	}
	if !p.inFile(p.dyn) || p.dyn.size > maxDynamic {
		return &FormatError{p.phoff, fmt.Sprintf("a dynamic segment of %d bytes at %d, the file has %d", p.dyn.size, p.dyn.off, p.size)}
	}
	p.info.Dynamic = true
	type name struct{ tag, off uint64 }
	var names []name
	step := uint64(p.info.Class / 4)
	for off := uint64(0); off+step <= p.dyn.size; off += step {
		b, err := p.at(int64(p.dyn.off+off), int(step))
		if err != nil {
			return err
		}
		tag, val := word(p.order, p.info.Class, b), word(p.order, p.info.Class, b[step/2:])
		if tag == dtNull {
			break
		}
		switch tag {
		case dtNeeded, dtSoname, dtRPath, dtRunPath:
			names = append(names, name{tag, val})
		default:
			p.entry(tag, val)
		}
	}
	for _, n := range names {
		s, err := p.str(n.off)
		if err != nil {
			return err
		}
		p.named(n.tag, s)
	}
	return nil
}

func (p *parser) named(tag uint64, s string) {
	switch tag {
	case dtNeeded:
		p.info.Needed = append(p.info.Needed, s)
	case dtSoname:
		p.info.Soname = s
	case dtRPath:
		p.info.RPath = strings.Split(s, ":")
	case dtRunPath:
		p.info.RunPath = strings.Split(s, ":")
	}
}

func (p *parser) entry(tag, val uint64) {
	switch tag {
	case dtStrtab:
		p.strtab = val
	case dtStrsize:
		p.strsize = val
	case dtFlags1:
		p.info.Flags1 = uint32(val)
	case dtVerneed:
		p.verneed = val
	case dtVerneedNum:
		p.verneednum = val
	case dtVerdef:
		p.verdef = val
	case dtVerdefNum:
		p.verdefnum = val
	}
}

// str reads a name from the dynamic string table.
func (p *parser) str(off uint64) (string, error) {
	if off >= p.strsize || p.strtab+off < off {
		return "", &FormatError{int64(p.dyn.off), fmt.Sprintf("a name at %d of %d bytes of names", off, p.strsize)}
	}
	at, err := p.offset(p.strtab + off)
	if err != nil {
		return "", err
	}
	return p.names.text(at, int64(min(p.strsize-off, uint64(p.size))))
}

// offset is where in the file a virtual address lies.
func (p *parser) offset(vaddr uint64) (int64, error) {
	for _, s := range p.loads {
		if vaddr >= s.vaddr && vaddr-s.vaddr < s.size && p.inFile(s) {
			return int64(s.off + (vaddr - s.vaddr)), nil
		}
	}
	return 0, &FormatError{int64(p.dyn.off), fmt.Sprintf("address %#x is in no loaded segment", vaddr)}
}
