package ldcache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"distroless/internal/rootfs/closure"
	"distroless/internal/rootfs/elf"
)

// memory is a tree of nodes and texts.
type memory struct {
	nodes map[string]closure.Node
	texts map[string]string
}

func (m memory) Lookup(p string) (closure.Node, bool) { n, ok := m.nodes[p]; return n, ok }

func (m memory) Walk(f func(closure.Node) error) error {
	for _, p := range slices.Sorted(maps.Keys(m.nodes)) {
		if err := f(m.nodes[p]); err != nil {
			return err
		}
	}
	return nil
}

func (m memory) Read(p string) ([]byte, error) {
	s, ok := m.texts[p]
	if !ok {
		return nil, errors.New("no such text")
	}
	return []byte(s), nil
}

// tree makes a tree of what add was called with, and the directories above.
func tree(nodes ...closure.Node) memory {
	m := memory{map[string]closure.Node{}, map[string]string{}}
	for _, n := range nodes {
		m.add(n)
	}
	return m
}

func (m memory) add(n closure.Node) {
	m.nodes[n.Path] = n
	for p := path.Dir(n.Path); p != "/"; p = path.Dir(p) {
		if _, ok := m.nodes[p]; !ok {
			m.nodes[p] = closure.Node{Path: p, Kind: closure.Dir}
		}
	}
}

// conf adds a text.
func (m memory) conf(p, text string) memory {
	m.add(closure.Node{Path: p, Kind: closure.File})
	m.texts[p] = text
	return m
}

func lib(p, soname string) closure.Node {
	return closure.Node{Path: p, Kind: closure.File, ELF: &elf.Info{
		Class: 64, Machine: elf.X8664, Type: elf.Shared, Dynamic: true, Soname: soname, Needed: []string{"libc.so.6"},
	}}
}

func link(p, target string) closure.Node {
	return closure.Node{Path: p, Kind: closure.Symlink, Target: target}
}

func with(n closure.Node, f func(*elf.Info)) closure.Node { f(n.ELF); return n }

var trixie = Options{Arch: "amd64", Version: "2.41-12"}

// listing scans a tree and lists "name path" with the hwcaps directory.
func listing(t *testing.T, m memory, o Options) []string {
	t.Helper()
	c, err := Scan(m, o)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range c.Entries {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Name, e.Path, e.Hwcap)))
	}
	return out
}

// A directory missed here is a library that ld.so does not find.
func TestDirectories(t *testing.T) {
	a := lib("/opt/a/liba.so.1", "liba.so.1")
	sub := func(text string) memory { return tree(a).conf("/etc/ld.so.conf", text) }
	found := []string{"liba.so.1 /opt/a/liba.so.1"}
	for _, c := range []struct {
		name string
		tree memory
		want []string
	}{
		{"named", sub("/opt/a"), found},
		{"with spaces, slashes and a comment", sub(" \t/opt/a//  # here\n"), found},
		{"twice", sub("/opt/a\n/opt/./a\n"), found},
		{"commented out", sub("#/opt/a\n"), nil},
		{"through a link", func() memory { m := sub("/opt/b"); m.add(link("/opt/b", "a")); return m }(), []string{"liba.so.1 /opt/b/liba.so.1"}},
		{"included", sub("include /etc/x.d/*.conf /etc/none").conf("/etc/x.d/1.conf", "/opt/a"), found},
		{"included beside", sub("include x.d/?.conf").conf("/etc/x.d/1.conf", "/opt/a"), found},
		{"included by name", sub("include /etc/x.d/1.conf").conf("/etc/x.d/1.conf", "/opt/a"), found},
		{"a hidden file", sub("include /etc/x.d/*").conf("/etc/x.d/.conf", "/opt/a"), nil},
		{"not matched", sub("include /etc/x.d/[!1]*").conf("/etc/x.d/1.conf", "/opt/a"), nil},
		{"hwcap line", sub("hwcap 0 nosegneg\n/opt/a"), found},
		{"no configuration", tree(a), nil},
		{"built in", tree(lib("/usr/lib/x86_64-linux-gnu/liba.so.1", "liba.so.1")), []string{"liba.so.1 /usr/lib/x86_64-linux-gnu/liba.so.1"}},
		{"the first path of a merged tree counts", tree(lib("/usr/lib/x86_64-linux-gnu/liba.so.1", "liba.so.1"), link("/lib", "usr/lib")), []string{"liba.so.1 /lib/x86_64-linux-gnu/liba.so.1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := listing(t, c.tree, trixie); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A configuration that includes itself must not stop a build for ever.
func TestCircleOfIncludes(t *testing.T) {
	for _, text := range []string{"include /etc/ld.so.conf", strings.Repeat("include /etc/ld.so.con?\n", 50)} {
		_, err := Build(tree().conf("/etc/ld.so.conf", text), trixie)
		if err == nil || !strings.Contains(err.Error(), "circle of includes") {
			t.Errorf("got %v", err)
		}
	}
}

func TestLibraries(t *testing.T) {
	const d = "/usr/lib/x86_64-linux-gnu/"
	for _, c := range []struct {
		name string
		n    []closure.Node
		want []string
	}{
		{"with the link for ld.so", []closure.Node{lib(d+"liba.so.1.2", "liba.so.1"), link(d+"liba.so.1", "liba.so.1.2")}, []string{"liba.so.1 " + d + "liba.so.1"}},
		{"without it", []closure.Node{lib(d+"liba.so.1.2", "liba.so.1")}, []string{"liba.so.1 " + d + "liba.so.1"}},
		{"with the link for ld", []closure.Node{lib(d+"liba.so.1", "liba.so.1"), link(d+"liba.so", "liba.so.1")}, []string{"liba.so.1 " + d + "liba.so.1", "liba.so " + d + "liba.so"}},
		{"under a name of its own", []closure.Node{lib(d+"liba.so.1", "liba.so.1"), link(d+"libz.so.9", "liba.so.1")}, []string{"liba.so.1 " + d + "liba.so.1"}},
		{"without a soname", []closure.Node{lib(d+"liba-1.so", "")}, []string{"liba-1.so " + d + "liba-1.so"}},
		{"names from high to low", []closure.Node{lib(d+"liba.so.9", "liba.so.9"), lib(d+"liba.so.10", "liba.so.10"), lib(d+"libb.so.1", "libb.so.1")},
			[]string{"libb.so.1 " + d + "libb.so.1", "liba.so.10 " + d + "liba.so.10", "liba.so.9 " + d + "liba.so.9"}},
		{"not a library's name", []closure.Node{lib(d+"a.so.1", "a.so.1"), lib(d+"liba.1", "liba.1")}, nil},
		{"not whole yet", []closure.Node{lib(d+"liba.so.1.dpkg-new", "liba.so.1"), lib(d+"libb.so;1", "libb.so"), lib(d+"libc.so.#prelink#", ""), lib(d+"libd.so.#prelink#.XXXXXX", "")}, nil},
		{"for another machine", []closure.Node{with(lib(d+"liba.so.1", "liba.so.1"), func(i *elf.Info) { i.Machine = elf.AArch64 })}, nil},
		{"a program", []closure.Node{with(lib(d+"liba.so.1", "liba.so.1"), func(i *elf.Info) { i.Type = elf.Executable })}, nil},
		{"a linker script", []closure.Node{{Path: d + "liba.so", Kind: closure.File}}, nil},
		{"damaged", []closure.Node{{Path: d + "liba.so", Kind: closure.File, ELF: &elf.Info{Malformed: "x"}}}, nil},
		{"a link to nothing", []closure.Node{link(d+"liba.so.1", "gone")}, nil},
		{"for better processors", []closure.Node{lib(d+"liba.so.1", "liba.so.1"), lib(d+"glibc-hwcaps/x86-64-v3/liba.so.1.2", "liba.so.1"), lib(d+"glibc-hwcaps/x86-64-v2/liba.so.1.2", "liba.so.1")},
			[]string{"liba.so.1 " + d + "glibc-hwcaps/x86-64-v2/liba.so.1.2 x86-64-v2", "liba.so.1 " + d + "glibc-hwcaps/x86-64-v3/liba.so.1.2 x86-64-v3", "liba.so.1 " + d + "liba.so.1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := tree(c.n...)
			if got := listing(t, m, trixie); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// The flags decide whether ld.so of an architecture takes an entry at all.
func TestFlags(t *testing.T) {
	for _, c := range []struct {
		arch, version string
		info          elf.Info
		want          int32 // 0 for a file that is passed over
	}{
		{"amd64", "2.41-1", elf.Info{Class: 64, Machine: elf.X8664}, 0x303},
		{"amd64", "2.41-1", elf.Info{Class: 32, Machine: elf.X8664}, 0x803},
		{"amd64", "2.41-1", elf.Info{Class: 32, Machine: elf.I386}, 0x003},
		{"amd64", "2.36-1", elf.Info{Class: 32, Machine: elf.I386}, 0x001},
		{"amd64", "2.36-1", elf.Info{Class: 32, Machine: elf.I386, Needed: []string{"libm.so.6"}}, 0x003},
		{"amd64", "2.41-1", elf.Info{Class: 64, Machine: elf.AArch64}, 0},
		{"arm64", "2.36-1", elf.Info{Class: 64, Machine: elf.AArch64}, 0xa03},
		{"armhf", "2.31-1", elf.Info{Class: 32, Machine: elf.ARM, Flags: 0x5000400}, 0x903},
		{"armhf", "2.41-1", elf.Info{Class: 32, Machine: elf.ARM, Flags: 0x5000200}, 0xb03},
		{"armhf", "2.41-1", elf.Info{Class: 32, Machine: elf.ARM, Flags: 0x5000000}, 0x003},
		{"s390x", "2.41-1", elf.Info{Class: 64, Machine: elf.S390, BigEndian: true}, 0x403},
		{"s390x", "2.41-1", elf.Info{Class: 64, Machine: elf.X8664}, 0},
		{"s390x", "2.41-1", elf.Info{Class: 32, Machine: elf.S390, BigEndian: true}, 0x003},
		{"ppc64el", "2.41-1", elf.Info{Class: 64, Machine: elf.PPC64, Flags: 2}, 0x503},
		{"riscv64", "2.41-1", elf.Info{Class: 64, Machine: elf.RISCV, Flags: 5}, 0x1003},
		{"riscv64", "2.41-1", elf.Info{Class: 64, Machine: elf.RISCV, Flags: 1}, 0xf03},
		{"riscv64", "2.41-1", elf.Info{Class: 64, Machine: elf.RISCV, Flags: 2}, 0},
		{"riscv64", "2.41-1", elf.Info{Class: 64, Machine: elf.RISCV, Flags: 8}, 0},
	} {
		g, err := newTarget(Options{c.arch, c.version})
		if err != nil {
			t.Fatal(err)
		}
		s := &scanner{target: g}
		c.info.Type, c.info.Dynamic = elf.Shared, true
		got, ok := s.flags(&c.info)
		if !ok {
			got = 0
		}
		if got != c.want {
			t.Errorf("%s %s %+v: %#x, want %#x", c.arch, c.version, c.info, got, c.want)
		}
	}
}

func TestUnknownTargets(t *testing.T) {
	for _, o := range []Options{{}, {"amd64", ""}, {"amd64", "2.30-1"}, {"amd64", "3.41-1"}, {"sparc64", "2.41-1"}, {"riscv64", "2.36-9"}} {
		if _, err := Build(tree(), o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	m := tree(lib("/usr/lib/x86_64-linux-gnu/haswell/liba.so.1", "liba.so.1"))
	if _, err := Build(m, Options{"amd64", "2.36-9"}); err == nil || !strings.Contains(err.Error(), "glibc-hwcaps") {
		t.Errorf("a directory of 2.36 alone: %v", err)
	}
	if _, err := Build(m, trixie); err != nil {
		t.Errorf("a directory that 2.41 does not look at: %v", err)
	}
}

func TestCompareNames(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"libc.so.6", "libc.so.6", 0}, {"libc.so.6", "libc.so.10", -1}, {"liba.so", "libb.so", -1}, {"liba", "liba.so", -1},
		{"liba1", "libaa", 1}, {"liba-1", "liba.1", -1}, {"lib01", "lib1", 0}, {"", "a", -1}, {"", "", 0}, {"lib9", "lib", 1},
	} {
		if got := compareNames(c.a, c.b); got < 0 != (c.want < 0) || got > 0 != (c.want > 0) {
			t.Errorf("compareNames(%q, %q) = %d", c.a, c.b, got)
		}
		if got := compareNames(c.b, c.a); got < 0 != (c.want > 0) || got > 0 != (c.want < 0) {
			t.Errorf("compareNames(%q, %q) = %d", c.b, c.a, got)
		}
	}
}

func TestStringTable(t *testing.T) {
	all := []string{"b", "ab", "/x/ab", "ab", "c", "bc"}
	table, at := stringTable(slices.Clone(all))
	if string(table) != "bc\x00/x/ab\x00" {
		t.Errorf("table %q", table)
	}
	for _, s := range all {
		if got := string(table[at[s]:][:len(s)+1]); got != s+"\x00" {
			t.Errorf("%q is at %d: %q", s, at[s], got)
		}
	}
}

// What ld.so reads: names and paths by their offsets from the file's start, in
// the byte order of the machine.
func TestBytes(t *testing.T) {
	const d = "/usr/lib/s390x-linux-gnu/"
	big := func(n closure.Node) closure.Node {
		return with(n, func(i *elf.Info) {
			i.Machine, i.BigEndian, i.ABI = elf.S390, true, &elf.ABITag{Kernel: [3]uint32{3, 2, 1}}
		})
	}
	m := tree(big(lib(d+"liba.so.1", "liba.so.1")), big(lib(d+"glibc-hwcaps/z13/liba.so.1", "liba.so.1")))
	for _, c := range []struct {
		version   string
		libs      int
		os        uint32
		generator string
	}{
		{"2.41-12+deb13u5", 2, 0, "ldconfig (Debian GLIBC 2.41-12+deb13u5) stable release version 2.41"},
		{"2.31-13+deb11u11", 1, 0x030201, ""},
	} {
		b, err := Build(m, Options{"s390x", c.version})
		if err != nil {
			t.Fatal(err)
		}
		be := binary.BigEndian
		if string(b[:20]) != "glibc-ld.so.cache1.1" || int(be.Uint32(b[20:])) != c.libs || b[28] != 3 {
			t.Errorf("%s: header %q", c.version, b[:48])
		}
		text := func(off uint32) string { s, _, _ := strings.Cut(string(b[off:]), "\x00"); return s }
		last := b[48+24*(c.libs-1):]
		if text(be.Uint32(last[4:])) != "liba.so.1" || text(be.Uint32(last[8:])) != d+"liba.so.1" || be.Uint32(last[12:]) != c.os {
			t.Errorf("%s: entry %x", c.version, last[:24])
		}
		ext := be.Uint32(b[32:])
		if (ext == 0) != (c.generator == "") || !strings.HasSuffix(string(b), c.generator) {
			t.Errorf("%s: extension at %d, end %q", c.version, ext, b[max(0, len(b)-80):])
		}
	}
}

func TestPaths(t *testing.T) {
	c, err := Scan(tree(
		lib("/lib/x86_64-linux-gnu/liba.so.1", "liba.so.1"), lib("/usr/lib/liba.so.1", "liba.so.1"), lib("/usr/lib/glibc-hwcaps/x86-64-v3/liba.so.1", "liba.so.1"),
	), trixie)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/lib/x86_64-linux-gnu/liba.so.1", "/usr/lib/liba.so.1"}
	if got := c.Paths()["liba.so.1"]; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// An image whose libraries all lie where ld.so looks anyway needs no cache.
func TestNeeded(t *testing.T) {
	for _, c := range []struct {
		lib  string
		want bool
	}{
		{"/usr/lib/x86_64-linux-gnu/liba.so.1", false}, {"/usr/lib/liba.so.1", false},
		{"/usr/lib/x86_64-linux-gnu/glibc-hwcaps/x86-64-v3/liba.so.1", false},
		{"/opt/a/liba.so.1", true}, {"/opt/a/glibc-hwcaps/x86-64-v3/liba.so.1", true},
	} {
		m := tree(lib(c.lib, "liba.so.1"), link("/lib", "usr/lib")).conf("/etc/ld.so.conf", "/opt/a\n")
		cache, err := Scan(m, trixie)
		if err != nil {
			t.Fatal(err)
		}
		if got := cache.Needed(); got != c.want || len(cache.Entries) != 1 {
			t.Errorf("%s: %v, %+v", c.lib, got, cache.Entries)
		}
	}
}

func FuzzConf(f *testing.F) {
	for _, s := range []string{"", "/opt/a\n", "include /etc/*.d/*", "include x [a-", "hwcap 1 x", "include /etc/ld.so.conf", "/a=libc6\x00#", "include ../../*/..//[!a]?\\*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m := tree(lib("/opt/a/liba.so.1", "liba.so.1"), link("/opt/b", "../opt")).conf("/etc/ld.so.conf", text).conf("/etc/x.d/1.conf", text)
		for _, v := range []string{"2.31-1", "2.36-1", "2.41-1"} {
			b, err := Build(m, Options{"amd64", v})
			again, errAgain := Build(m, Options{"amd64", v})
			if string(b) != string(again) || (err == nil) != (errAgain == nil) {
				t.Fatal("the same tree gave another cache")
			}
		}
	})
}
