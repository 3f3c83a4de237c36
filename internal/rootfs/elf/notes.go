package elf

// note types, by the name "GNU".
const (
	noteABITag   = 1
	noteProperty = 5
)

// isaNeeded is GNU_PROPERTY_X86_ISA_1_NEEDED.
const isaNeeded = 0xc0008002

// notes calls f with the type and the place of each GNU note of a segment,
// until f says that it has what it wants. Records that do not fit end the
// walk, as they do in ld.so.
func (p *parser) notes(s segment, f func(kind uint32, off, size int64) (done bool, err error)) error {
	align := int64(4)
	if s.align == 8 {
		align = 8
	}
	start, size := int64(s.off), int64(s.size)
	for off := int64(0); size-off >= 12; { // aligned within the segment
		b, err := p.at(start+off, 12)
		if err != nil {
			return err
		}
		nameSize, descSize, kind := int64(p.order.Uint32(b)), int64(p.order.Uint32(b[4:])), p.order.Uint32(b[8:])
		desc := off + alignUp(12+nameSize, align)
		if descSize > size-desc {
			return nil
		}
		if nameSize == 4 {
			if b, err = p.at(start+off+12, 4); err != nil {
				return err
			}
			if string(b) == "GNU\x00" {
				if done, err := f(kind, start+desc, descSize); done || err != nil {
					return err
				}
			}
		}
		off = desc + alignUp(descSize, align)
	}
	return nil
}

func alignUp(n, align int64) int64 { return (n + align - 1) &^ (align - 1) }

func (p *parser) abiTag(kind uint32, off, size int64) (bool, error) {
	if kind != noteABITag || size < 16 {
		return false, nil
	}
	b, err := p.at(off, 16)
	if err != nil {
		return false, err
	}
	p.info.ABI = &ABITag{
		OS:     p.order.Uint32(b),
		Kernel: [3]uint32{p.order.Uint32(b[4:]), p.order.Uint32(b[8:]), p.order.Uint32(b[12:])},
	}
	return true, nil
}

// property reads the first property note. Properties stand in ascending order
// of their types; one that does not ends the list, as in ldconfig.
func (p *parser) property(kind uint32, off, size int64) (bool, error) {
	if kind != noteProperty {
		return false, nil
	}
	var last uint32
	for end := off + size; end-off >= 8; {
		b, err := p.at(off, 8)
		if err != nil {
			return false, err
		}
		typ, length := p.order.Uint32(b), int64(p.order.Uint32(b[4:]))
		if off += 8; typ < last || typ > isaNeeded || length > end-off {
			return true, nil
		}
		if typ == isaNeeded && length == 4 {
			if b, err = p.at(off, 4); err != nil {
				return false, err
			}
			p.info.ISANeeded = p.order.Uint32(b)
			return true, nil
		}
		last = typ
		off += alignUp(length, int64(p.info.Class/8))
	}
	return true, nil
}
