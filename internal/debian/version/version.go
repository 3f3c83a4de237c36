// Package version orders Debian version numbers and takes them apart.
//
// It knows deb-version(7) and nothing else: relations such as ">= 1.2" are in
// package relation. [Compare] is what a caller usually wants: it works on the
// text of an index or a control file as it is, without allocating. [Parse] is
// for the places where a wrong version must be refused.
package version

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Version is a version number in its three parts, [epoch:]upstream[-revision].
// See deb-version(7).
type Version struct {
	Epoch    int    // 0 if the text has none
	Upstream string // begins with a digit; may hold ':' only beside an epoch, '-' only beside a revision
	Revision string // "" if the text has none, as in a native package
}

// Parse takes s apart, strictly as deb-version(7) says: an epoch is digits
// and fits 31 bits, the upstream part begins with a digit, no part that a ':'
// or a '-' announces is empty, and every character is one that the part may
// hold. Spaces around s are an error as well.
func Parse(s string) (Version, error) {
	if s == "" {
		return Version{}, fmt.Errorf("read version: it is empty")
	}
	v := Version{Upstream: s}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		n, err := strconv.ParseUint(s[:i], 10, 32)
		if err != nil || n > math.MaxInt32 {
			return Version{}, fmt.Errorf("read version %q: epoch %q is not a number from 0 to %d", s, s[:i], math.MaxInt32)
		}
		v.Epoch, v.Upstream = int(n), s[i+1:]
	}
	if i := strings.LastIndexByte(v.Upstream, '-'); i >= 0 {
		v.Upstream, v.Revision = v.Upstream[:i], v.Upstream[i+1:]
		if v.Revision == "" {
			return Version{}, fmt.Errorf("read version %q: nothing follows the last %q", s, "-")
		}
	}
	if v.Upstream == "" {
		return Version{}, fmt.Errorf("read version %q: the upstream part is empty", s)
	}
	if !isDigit(v.Upstream[0]) {
		return Version{}, fmt.Errorf("read version %q: the upstream part does not begin with a digit", s)
	}
	// The epoch's end is the first colon and the revision's begin the last
	// dash, so a colon is left over only in a text that has an epoch, and a
	// dash only in one that has a revision.
	if i := badByte(v.Upstream, ".+~-:"); i >= 0 {
		return Version{}, fmt.Errorf("read version %q: %q may not stand in the upstream part", s, v.Upstream[i])
	}
	if i := badByte(v.Revision, ".+~"); i >= 0 {
		return Version{}, fmt.Errorf("read version %q: %q may not stand in the revision", s, v.Revision[i])
	}
	return v, nil
}

// String puts the parts together again. An epoch of 0 is written only where
// the upstream part could not be read without it.
func (v Version) String() string {
	s := v.Upstream
	if v.Epoch != 0 || strings.IndexByte(s, ':') >= 0 {
		s = strconv.Itoa(v.Epoch) + ":" + s
	}
	if v.Revision != "" {
		s += "-" + v.Revision
	}
	return s
}

// badByte is the place of the first byte of s that is neither a letter nor a
// digit nor in extra, or -1.
func badByte(s, extra string) int {
	for i := range len(s) {
		if c := s[i]; !isDigit(c) && !isLetter(c) && strings.IndexByte(extra, c) < 0 {
			return i
		}
	}
	return -1
}

func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
