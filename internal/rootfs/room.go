package rootfs

import "distroless/internal/hugepage"

// room is memory for the contents of many files, which are freed together. One
// file after the other in a few large buffers takes fewer pages, and larger
// ones, than a buffer for each.
type room struct {
	buf  []byte
	used int
}

// Bytes of a room's buffers, which double, and of the largest file in one.
const (
	firstRoom = 64 << 10
	mostRoom  = 4 << 20
	mostShare = 1 << 20
)

// take returns memory for a file of size bytes; nil for a large one, which
// gains nothing here.
func (r *room) take(size int64) []byte {
	if size > mostShare {
		return nil
	}
	if n := int(size); r.used+n > len(r.buf) {
		r.buf = hugepage.Make(max(n, min(2*len(r.buf), mostRoom), firstRoom))
		r.used = 0
	}
	from := r.used
	r.used += int(size)
	return r.buf[from:r.used:r.used]
}

// clear lets the memory be taken again: nobody uses what was taken of it.
func (r *room) clear() { r.used = 0 }
