package elf

import "fmt"

// versionsNeeded reads the chain at DT_VERNEED: a record per library, and
// behind each a chain of its versions.
func (p *parser) versionsNeeded() error {
	total := 0
	return p.chain(p.verneed, p.verneednum, func(off int64) (next uint32, err error) {
		b, err := p.at(off, 16)
		if err != nil {
			return 0, err
		}
		count, file, aux := p.order.Uint16(b[2:]), p.order.Uint32(b[4:]), int64(p.order.Uint32(b[8:]))
		next = p.order.Uint32(b[12:])
		if total += int(count); total > maxRecords {
			return 0, &FormatError{off, fmt.Sprintf("more than %d needed versions", maxRecords)}
		}
		need := Need{}
		if need.File, err = p.str(uint64(file)); err != nil {
			return 0, err
		}
		for at := off + aux; count > 0; count-- {
			b, err := p.at(at, 16)
			if err != nil {
				return 0, err
			}
			flags, name, step := p.order.Uint16(b[4:]), p.order.Uint32(b[8:]), p.order.Uint32(b[12:])
			v := Version{Weak: flags&2 != 0} // VER_FLG_WEAK
			if v.Name, err = p.str(uint64(name)); err != nil {
				return 0, err
			}
			need.Versions = append(need.Versions, v)
			if step == 0 {
				break
			}
			at += int64(step)
		}
		p.info.Verneed = append(p.info.Verneed, need)
		return next, nil
	})
}

// versionsDefined reads the chain at DT_VERDEF: a record per version, whose
// first auxiliary record is its name; the others are its predecessors.
func (p *parser) versionsDefined() error {
	return p.chain(p.verdef, p.verdefnum, func(off int64) (next uint32, err error) {
		b, err := p.at(off, 20)
		if err != nil {
			return 0, err
		}
		count, aux := p.order.Uint16(b[6:]), int64(p.order.Uint32(b[12:]))
		next = p.order.Uint32(b[16:])
		if count == 0 {
			return next, nil
		}
		if b, err = p.at(off+aux, 8); err != nil {
			return 0, err
		}
		name, err := p.str(uint64(p.order.Uint32(b)))
		if err != nil {
			return 0, err
		}
		p.info.Verdef = append(p.info.Verdef, name)
		return next, nil
	})
}

// chain walks count records from a virtual address on, each of which says how
// many bytes further the next one lies, 0 for the last.
func (p *parser) chain(vaddr, count uint64, record func(off int64) (next uint32, err error)) error {
	if vaddr == 0 || count == 0 {
		return nil
	}
	off, err := p.offset(vaddr)
	if err != nil {
		return err
	}
	if count > maxRecords {
		return &FormatError{off, fmt.Sprintf("%d version records", count)}
	}
	for ; count > 0; count-- {
		next, err := record(off)
		if err != nil {
			return err
		}
		if next == 0 {
			return nil
		}
		off += int64(next)
	}
	return nil
}
