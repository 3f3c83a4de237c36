package version

import "strings"

// Compare returns -1, 0 or +1 as a is older than, equal to or newer than b in
// Debian's order. It is a total preorder over all strings: texts that [Parse]
// refuses are ordered too, part by part. "1.0" and "1.0-0" are equal, and so
// are "1.0" and "0:1.00". It does not allocate.
func Compare(a, b string) int {
	if a == b {
		return 0
	}
	epochA, a := cutEpoch(a)
	epochB, b := cutEpoch(b)
	if c := compareNumbers(epochA, epochB); c != 0 {
		return c
	}
	upstreamA, revisionA := cutRevision(a)
	upstreamB, revisionB := cutRevision(b)
	if c := compareParts(upstreamA, upstreamB); c != 0 {
		return c
	}
	return compareParts(revisionA, revisionB)
}

// cutEpoch splits at the first colon if digits alone stand before it.
func cutEpoch(s string) (epoch, rest string) {
	if i := strings.IndexByte(s, ':'); i >= 0 && allDigits(s[:i]) {
		return s[:i], s[i+1:]
	}
	return "", s
}

// cutRevision splits at the last dash.
func cutRevision(s string) (upstream, revision string) {
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

// compareParts orders two upstream parts or two revisions: in turn a run
// without digits by [rank], then a run of digits by its number, until they
// differ. The end of a text counts as an empty run, and an empty number is 0.
func compareParts(a, b string) int {
	for a != "" || b != "" {
		for {
			ra, rb := rank(a), rank(b)
			if ra != rb {
				return sign(ra - rb)
			}
			if ra == 0 { // both at a digit or at the end
				break
			}
			a, b = a[1:], b[1:]
		}
		i, j := digitRun(a), digitRun(b)
		if c := compareNumbers(a[:i], b[:j]); c != 0 {
			return c
		}
		a, b = a[i:], b[j:]
	}
	return 0
}

// rank is the weight of the first byte of s: '~' sorts before the end of the
// text, which a digit equals, then come letters and after them all the rest.
func rank(s string) int {
	switch {
	case s == "" || isDigit(s[0]):
		return 0
	case s[0] == '~':
		return -1
	case isLetter(s[0]):
		return int(s[0])
	default:
		return int(s[0]) + 256
	}
}

func digitRun(s string) int {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return i
}

// compareNumbers orders digit strings of any length by value.
func compareNumbers(a, b string) int {
	a, b = trimZeros(a), trimZeros(b)
	if len(a) != len(b) {
		return sign(len(a) - len(b))
	}
	return strings.Compare(a, b)
}

func trimZeros(s string) string {
	for s != "" && s[0] == '0' {
		s = s[1:]
	}
	return s
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
