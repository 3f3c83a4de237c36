package ldcache

import (
	"cmp"
	"strings"
)

// compare is the order of entries: names from high to low, then kinds from
// high to low, then libraries for better processors first.
func compare(a, b Entry) int {
	if c := compareNames(b.Name, a.Name); c != 0 {
		return c
	}
	if c := cmp.Compare(b.Flags, a.Flags); c != 0 {
		return c
	}
	if a.Hwcap == "" || b.Hwcap == "" {
		if c := cmp.Compare(len(b.Hwcap), len(a.Hwcap)); c != 0 {
			return c
		}
	}
	if c := strings.Compare(a.Hwcap, b.Hwcap); c != 0 {
		return c
	}
	return cmp.Compare(b.osVersion, a.osVersion) // 2.31 alone has any
}

// compareNames is _dl_cache_libcmp: runs of digits compare as numbers, and a
// digit comes after everything else.
func compareNames(a, b string) int {
	at := func(s string, i int) byte {
		if i < len(s) {
			return s[i]
		}
		return 0
	}
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	i, j := 0, 0
	number := func(s string, k *int) int32 {
		var v int32 // wraps, as C's int does
		for ; digit(at(s, *k)); *k++ {
			v = v*10 + int32(s[*k]-'0')
		}
		return v
	}
	for i < len(a) {
		x, y := a[i], at(b, j)
		switch {
		case digit(x) && digit(y):
			if v, w := number(a, &i), number(b, &j); v != w {
				return int(v - w)
			}
		case digit(x):
			return 1
		case digit(y):
			return -1
		case x != y:
			return int(x) - int(y)
		default:
			i++
			j++
		}
	}
	return -int(at(b, j))
}
