package rootfs

import (
	"bytes"
	"fmt"
	"path"
)

// applets returns the names of the applets inside a busybox binary. They stand
// in it as one table: names that end in NUL, sorted, "[" and "[[" first
// (busybox's include/applet_tables.h), and an empty name after the last. So no
// program needs to run, whatever the architecture.
func applets(binary []byte) ([]string, error) {
	start := bytes.Index(binary, []byte("[\x00[[\x00"))
	if start < 0 {
		return nil, fmt.Errorf("no table of applets in it: is it busybox?")
	}
	var names []string
	for rest := binary[start:]; ; {
		i := bytes.IndexByte(rest, 0)
		if i <= 0 || i > 64 {
			break
		}
		name := string(rest[:i])
		if !appletName(name) || len(names) > 0 && names[len(names)-1] >= name {
			break
		}
		names = append(names, name)
		rest = rest[i+1:]
	}
	if len(names) < 10 {
		return nil, fmt.Errorf("a table of %d applets, expected more: is it busybox?", len(names))
	}
	return names, nil
}

func appletName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_', c == '-', c == '[', c == '.':
		default:
			return false
		}
	}
	return s != ""
}

// appletLinks are the links beside a busybox binary, one per applet.
func appletLinks(at string, names []string) []Entry {
	dir, base := path.Split(at)
	var out []Entry
	for _, n := range names {
		if n != base {
			out = append(out, Entry{Path: dir + n, Kind: Symlink, Mode: 0o777, Target: base})
		}
	}
	return out
}
