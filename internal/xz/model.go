package xz

// A probability is that of a zero bit, in 2048ths. Each bit read moves its
// probability a 32nd of the way towards what was read.
const (
	probBits = 11
	probOne  = 1 << probBits
	probInit = probOne / 2
	moveBits = 5
)

const (
	maxMatch = 273 // the longest match, in bytes

	// literalStates is the number of states after a literal: from there on,
	// the last symbol was a match and the next literal is coded against the
	// byte that the match would have gone on with.
	literalStates = 7
)

// lengthModel holds the probabilities that match lengths are coded with:
// 2 to 9 in low, 10 to 17 in mid, 18 to 273 in high. In each bit tree the
// node n has the children 2n and 2n+1, and 1 is the root.
type lengthModel struct {
	choice, choice2 uint16
	low, mid        [16][8]uint16
	high            [256]uint16
}

// literalModel holds the probabilities of a literal's bits in one context:
// behind a literal, and behind a match by what the next bit is expected to be.
type literalModel struct {
	plain   [256]uint16
	matched [2][256]uint16
}

// model is everything that LZMA adapts while it decodes. Arrays are a power
// of two long, longer than needed in places, so that a masked index is known
// to be inside.
type model struct {
	isMatch    [16][16]uint16 // by state, position
	isRep      [16]uint16     // by state, as are the next three
	isRep0     [16]uint16
	isRep1     [16]uint16
	isRep2     [16]uint16
	isRep0Long [16][16]uint16 // by state, position
	slot       [4][64]uint16  // by length: the distance's top bits
	special    [16][32]uint16 // by slot: low bits of distances up to 127
	align      [16]uint16     // the lowest four bits of longer distances
	match, rep lengthModel

	literal [16]literalModel // by previous byte, position

	lc, lp, pb             uint   // bits of context: previous byte, position (literals), position (rest)
	state                  uint   // what the last symbols were: 0 to 11
	rep0, rep1, rep2, rep3 uint32 // the last four distances, less one
}

// setProperties takes lc, lp and pb from the byte that encodes them and
// reports whether it is valid in LZMA2, where lc+lp is at most 4.
func (m *model) setProperties(b byte) bool {
	if b >= 9*5*5 {
		return false
	}
	m.lc, m.lp, m.pb = uint(b%9), uint(b/9%5), uint(b/45)
	return m.lc+m.lp <= 4
}

// context is which of the models for literals holds, by lc bits of the byte
// before and lp of the position.
func (m *model) context(position, prev uint) uint {
	return (position&(1<<m.lp-1))<<m.lc | prev>>(8-m.lc)
}

// reset forgets what was learnt; lc, lp and pb stay.
func (m *model) reset() {
	for i := range m.isMatch {
		fill(m.isMatch[i][:])
		fill(m.isRep0Long[i][:])
	}
	fill(m.isRep[:])
	fill(m.isRep0[:])
	fill(m.isRep1[:])
	fill(m.isRep2[:])
	for i := range m.slot {
		fill(m.slot[i][:])
	}
	for i := range m.special {
		fill(m.special[i][:])
	}
	fill(m.align[:])
	m.match.reset()
	m.rep.reset()
	for i := range m.literal[:1<<(m.lc+m.lp)] {
		m.literal[i].reset()
	}
	m.state = 0
	m.rep0, m.rep1, m.rep2, m.rep3 = 0, 0, 0, 0
}

func (l *lengthModel) reset() {
	l.choice, l.choice2 = probInit, probInit
	for i := range l.low {
		fill(l.low[i][:])
		fill(l.mid[i][:])
	}
	fill(l.high[:])
}

func (l *literalModel) reset() {
	fill(l.plain[:])
	fill(l.matched[0][:])
	fill(l.matched[1][:])
}

func fill(probs []uint16) {
	for i := range probs {
		probs[i] = probInit
	}
}

// The state after a symbol, by the state before it.
var (
	afterLiteral  = [16]uint8{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5}
	afterMatch    = [16]uint8{7, 7, 7, 7, 7, 7, 7, 10, 10, 10, 10, 10}
	afterRep      = [16]uint8{8, 8, 8, 8, 8, 8, 8, 11, 11, 11, 11, 11}
	afterShortRep = [16]uint8{9, 9, 9, 9, 9, 9, 9, 11, 11, 11, 11, 11}
)
