package resolve

import "math/bits"

// levels is a set of decisions, numbered from 1 by their depth. It tells which
// of them a dead end depends on, so that the search goes back to the last of
// these and does not try all choices in between. It is never changed in place.
type levels []uint64

func (l levels) has(n int) bool { return n/64 < len(l) && l[n/64]&(1<<(n%64)) != 0 }

func (l levels) add(n int) levels {
	if l.has(n) {
		return l
	}
	out := make(levels, max(len(l), n/64+1))
	copy(out, l)
	out[n/64] |= 1 << (n % 64)
	return out
}

func (l levels) remove(n int) levels {
	if !l.has(n) {
		return l
	}
	out := append(levels(nil), l...)
	out[n/64] &^= 1 << (n % 64)
	return out
}

func (l levels) union(m levels) levels {
	if m.within(l) {
		return l
	}
	if l.within(m) {
		return m
	}
	out := make(levels, max(len(l), len(m)))
	copy(out, l)
	for i := range m {
		out[i] |= m[i]
	}
	return out
}

func (l levels) within(m levels) bool {
	for i, w := range l {
		if w != 0 && (i >= len(m) || bits.OnesCount64(w&^m[i]) > 0) {
			return false
		}
	}
	return true
}
