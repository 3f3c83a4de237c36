package deb

import (
	"cmp"
	"fmt"
	"runtime"
	"strings"
)

// Options bound the work that one package may cause. The zero value works:
// every limit has a default that all packages of Debian stay below.
type Options struct {
	// Workers is how many xz blocks are decoded side by side; 0 means one a core.
	Workers int

	// Name, Version and Arch are what the control paragraph must say. An
	// empty one is not compared. Version is compared as text.
	Name, Version, Arch string

	// MaxControl bounds the unpacked control.tar in bytes; 0 means 32 MiB.
	MaxControl int64
	// MaxUnpacked bounds the unpacked data.tar in bytes; 0 means 8 GiB.
	MaxUnpacked int64
	// MaxRatio bounds the bytes unpacked from a member for each byte read of
	// it, past the first 64 MiB; 0 means 400.
	MaxRatio int64
	// MaxEntries bounds the paths in data.tar, parents that it does not list
	// included; 0 means 400,000.
	MaxEntries int
	// MaxPath bounds the length of a path or link target in bytes; 0 means 4096.
	MaxPath int
	// MaxPathBytes bounds the length of all paths together; 0 means 64 MiB.
	MaxPathBytes int64
}

// ratioSlack is how many bytes a member may unpack to whatever its ratio.
const ratioSlack = 64 << 20

func (o Options) withDefaults() Options {
	o.Workers = cmp.Or(max(o.Workers, 0), runtime.GOMAXPROCS(0))
	o.MaxControl = cmp.Or(o.MaxControl, 32<<20)
	o.MaxUnpacked = cmp.Or(o.MaxUnpacked, 8<<30)
	o.MaxRatio = cmp.Or(o.MaxRatio, 400)
	o.MaxEntries = cmp.Or(o.MaxEntries, 400_000)
	o.MaxPath = cmp.Or(o.MaxPath, 4096)
	o.MaxPathBytes = cmp.Or(o.MaxPathBytes, 64<<20)
	return o
}

// Error says which part of which package is wrong.
type Error struct {
	Deb    string // the name given to Open
	Member string // the ar member: "data.tar.xz"; empty for the container itself
	Path   string // the tar entry as far as it is known; may be empty
	Err    error
}

// Error is "read foo.deb: data.tar.xz: ./dev/null: character device: …".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("read ")
	b.WriteString(e.Deb)
	if e.Member != "" {
		b.WriteString(": " + e.Member)
	}
	if e.Path != "" {
		b.WriteString(": " + printable(e.Path))
	}
	b.WriteString(": " + e.Err.Error())
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// printable quotes s where it would disturb a terminal or a log, and cuts it
// to a length that an error message can bear.
func printable(s string) string {
	const most = 200
	cut := s
	if len(cut) > most {
		cut = cut[:most]
	}
	q := fmt.Sprintf("%q", cut)
	if q == `"`+cut+`"` {
		q = cut
	}
	if len(s) > most {
		q += "…"
	}
	return q
}
