package xz

import (
	"context"
)

// wholeBlock is a block that is decoded in one piece: all of its compressed
// data are in memory, and its plain data, which are the dictionary at the
// same time, have room.
type wholeBlock struct {
	header blockHeader
	offset int64  // of packed in the file
	packed []byte // the compressed data
	buf    []byte // room for the plain data, with matchSlack
	check  blockCheck
	want   [64]byte // the check's value
}

// decode decodes the block and publishes it chunk by chunk, or at its end
// where there are filters.
func (b *wholeBlock) decode(ctx context.Context, d *lzma2, out *piece) error {
	size := int(b.header.uncompressed)
	in := &input{buf: b.packed, base: b.offset, err: corrupt("LZMA2 data reach past the compressed size in the block's header")}
	d.begin(b.buf, b.header.dictSize)
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		at, from := in.offset(), d.pos
		h, err := readChunkHeader(in)
		if err == nil && h.last() {
			break
		}
		if err == nil {
			err = d.prepare(h)
		}
		if err == nil && h.plain > size-d.pos {
			err = corrupt("block expands to more than its header's %d bytes", size)
		}
		if err == nil {
			err = d.decode(in, h)
		}
		if err != nil {
			return errAt(at, "LZMA2 chunk", err)
		}
		if len(b.header.filters) == 0 {
			b.check.update(d.buf[from:d.pos])
			out.publish(d.buf[:d.pos])
		}
	}
	if in.pos != len(b.packed) || d.pos != size {
		return errAt(b.offset, "block", corrupt("%d bytes expand to %d, its header says %d to %d", in.pos, d.pos, len(b.packed), size))
	}
	if len(b.header.filters) > 0 {
		for _, s := range newChain(b.header.filters) {
			s.filter.apply(d.buf[:size])
		}
		b.check.update(d.buf[:size])
		out.publish(d.buf[:size])
	}
	return b.check.verify(b.want[:b.check.kind.size()], b.offset+(int64(len(b.packed))+3)&^3)
}

// Sizes of what a block that is decoded as a stream passes through.
const (
	pieceSize   = 256 << 10
	firstWindow = 1 << 20 // the window's size until a block outgrows it
	minSlide    = 4 << 20
)

// windowSize is the buffer's size for a block with this dictionary, at least
// and at best. A larger one is moved to its start less often.
func windowSize(dict uint32) (least, best int64) {
	return int64(dict) + maxPlain + matchSlack, int64(dict) + max(minSlide, int64(dict)/2) + matchSlack
}

// window is the buffer of the blocks that are decoded as a stream.
type window struct {
	mem  *memory
	full int // its size in bytes once it is outgrown
	buf  []byte
}

// newWindow picks a window's size for a dictionary of dict bytes, and for
// plain data of size bytes if that is known.
func newWindow(mem *memory, dict uint32, size int64) (*window, error) {
	least, best := windowSize(dict)
	if size != unknownSize && size < best {
		least, best = min(least, size+matchSlack), min(best, size+matchSlack)
	}
	// While it grows there are both the old and the new one.
	if need := least + firstWindow; need > mem.limit || int64(int(need)) != need {
		return nil, memLimit(need, mem.limit)
	}
	full := min(best, mem.limit-firstWindow)
	if int64(int(full)) != full {
		full = least
	}
	return &window{mem: mem, full: int(full)}, nil
}

// reserve makes room in d for n more bytes of plain data.
func (w *window) reserve(ctx context.Context, d *lzma2, n int) error {
	if w.buf != nil && (len(w.buf) < w.full && d.pos+n+matchSlack <= len(w.buf) || len(w.buf) >= w.full && d.room(n)) {
		return nil
	}
	size := w.full
	if w.buf == nil && n+matchSlack <= firstWindow {
		size = min(size, firstWindow)
	}
	buf, err := w.mem.get(ctx, size)
	if err != nil {
		return err
	}
	d.grow(buf)
	w.free()
	w.buf = buf
	return nil
}

// free gives the buffer back.
func (w *window) free() {
	if w.buf != nil {
		w.mem.put(w.buf)
		w.buf = nil
	}
}

// streamBlock decodes a block through a window of its dictionary's size and
// sends it on in pieces. It returns the plain size in bytes.
func (s *sequence) streamBlock(ctx context.Context, h blockHeader, out *output) (int64, error) {
	w, err := newWindow(s.mem, h.dictSize, h.uncompressed)
	if err != nil {
		return 0, err
	}
	defer w.free()
	d := s.takeDecoder()
	defer s.giveDecoder(d)
	d.begin(nil, h.dictSize)
	filters := newChain(h.filters)
	start, plain := s.in.offset(), int64(0)
	for {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		at := s.in.offset()
		c, err := readChunkHeader(s.in)
		if err == nil && c.last() {
			break
		}
		if plain += int64(c.plain); err == nil && h.uncompressed != unknownSize && plain > h.uncompressed {
			err = corrupt("block expands to more than its header's %d bytes", h.uncompressed)
		}
		if err == nil {
			err = d.prepare(c)
		}
		if err == nil {
			err = w.reserve(ctx, d, c.plain)
		}
		if err == nil {
			err = d.decode(s.in, c)
		}
		if err == nil {
			err = out.write(ctx, filters.apply(d.buf[d.pos-c.plain:d.pos], false))
		}
		if err == nil && h.compressed != unknownSize && s.in.offset()-start > h.compressed {
			err = corrupt("LZMA2 data reach past the compressed size in the block's header")
		}
		if err != nil {
			return 0, errAt(at, "LZMA2 chunk", err)
		}
	}
	if err := out.write(ctx, filters.apply(nil, true)); err != nil {
		return 0, err
	}
	return plain, out.flush(ctx)
}

// output gathers a block's plain data into pieces and computes its check.
type output struct {
	seq   *sequence
	check blockCheck
	buf   []byte
}

func (o *output) write(ctx context.Context, p []byte) error {
	for len(p) > 0 {
		if o.buf == nil {
			o.buf = o.seq.takePiece()
		}
		n := min(len(p), cap(o.buf)-len(o.buf))
		o.buf = append(o.buf, p[:n]...)
		p = p[n:]
		if len(o.buf) == cap(o.buf) {
			if err := o.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *output) flush(ctx context.Context) error {
	buf := o.buf
	if len(buf) == 0 {
		return nil
	}
	o.buf = nil
	o.check.update(buf)
	return o.seq.send(ctx, finishedPiece(buf, func() { o.seq.givePiece(buf) }))
}
