package xz

import (
	"encoding/binary"
	"fmt"
	"slices"
)

const (
	filterDelta    = 0x03
	filterX86      = 0x04
	filterPowerPC  = 0x05
	filterIA64     = 0x06
	filterARM      = 0x07
	filterARMThumb = 0x08
	filterSPARC    = 0x09
	filterARM64    = 0x0a
	filterRISCV    = 0x0b
	filterLZMA2    = 0x21
)

// filterName is for errors.
func filterName(id uint64) string {
	names := map[uint64]string{
		filterDelta: "delta", filterX86: "x86", filterPowerPC: "PowerPC", filterIA64: "IA-64", filterARM: "ARM",
		filterARMThumb: "ARM-Thumb", filterSPARC: "SPARC", filterARM64: "ARM64", filterRISCV: "RISC-V", filterLZMA2: "LZMA2",
	}
	if name, ok := names[id]; ok {
		return fmt.Sprintf("%s (%#x)", name, id)
	}
	return fmt.Sprintf("%#x", id)
}

// filterSpec is one filter of a block's chain, as its header names it.
type filterSpec struct {
	id    uint64
	start uint32 // delta: the distance in bytes; else the position of the first byte
}

// filter undoes what was done to data before they were compressed.
type filter interface {
	// apply works on p in place and returns how many bytes at its start are
	// final. The others come again at the start of the next p; those left
	// over at a block's end are as they should be.
	apply(p []byte) int
}

// parseFilter reads a filter that is not a chain's last.
func parseFilter(id uint64, props []byte) (filterSpec, error) {
	f := filterSpec{id: id}
	if id == filterDelta {
		if len(props) != 1 {
			return f, unsupported("properties of filter %s: % x", filterName(id), props)
		}
		f.start = uint32(props[0]) + 1
		return f, nil
	}
	align := uint32(0)
	switch id {
	case filterX86:
		align = 1
	case filterARMThumb:
		align = 2
	case filterPowerPC, filterARM, filterSPARC, filterARM64:
		align = 4
	case filterIA64:
		align = 16
	case filterLZMA2:
		return f, unsupported("filter %s in front of another one", filterName(id))
	default:
		return f, unsupported("filter %s", filterName(id))
	}
	switch len(props) {
	case 0:
	case 4:
		f.start = binary.LittleEndian.Uint32(props)
	default:
		return f, unsupported("properties of filter %s: % x", filterName(id), props)
	}
	if f.start%align != 0 {
		return f, unsupported("start of filter %s at %d, which is no multiple of %d", filterName(id), f.start, align)
	}
	return f, nil
}

// newFilter makes a decoder for a block that has the filter f.
func newFilter(f filterSpec) filter {
	switch f.id {
	case filterDelta:
		return &delta{distance: int(f.start)}
	case filterX86:
		return &x86{pos: f.start}
	case filterARMThumb:
		return &armThumb{pos: f.start}
	case filterIA64:
		return &ia64{pos: f.start}
	}
	b := &branches{pos: f.start}
	switch f.id {
	case filterPowerPC:
		b.convert = convertPowerPC
	case filterARM:
		b.convert = convertARM
	case filterSPARC:
		b.convert = convertSPARC
	case filterARM64:
		b.convert = convertARM64
	}
	return b
}

// delta adds to each byte the one that stands distance bytes before it.
type delta struct {
	distance int
	history  [256]byte
	next     uint8
}

func (f *delta) apply(p []byte) int {
	for i := range p {
		p[i] += f.history[uint8(int(f.next)-f.distance)]
		f.history[f.next] = p[i]
		f.next++
	}
	return len(p)
}

// chain undoes a block's filters one after the other, in a stream.
type chain []stage

// stage is one filter of a chain with what passes through it.
type stage struct {
	filter
	buf  []byte
	rest []byte // the end of buf that is not final yet
}

// newChain returns an empty chain where there is no filter.
func newChain(specs []filterSpec) chain {
	var c chain
	for _, spec := range slices.Backward(specs) {
		c = append(c, stage{filter: newFilter(spec)})
	}
	return c
}

// apply feeds p in and returns what is final; with last, all of it. It is
// valid until the next call.
func (c chain) apply(p []byte, last bool) []byte {
	for i := range c {
		s := &c[i]
		s.buf = append(append(s.buf[:0], s.rest...), p...)
		n := s.filter.apply(s.buf)
		if last {
			n = len(s.buf)
		}
		p, s.rest = s.buf[:n], s.buf[n:]
	}
	return p
}
