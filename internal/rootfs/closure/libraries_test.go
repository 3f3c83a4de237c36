package closure

import (
	"testing"

	"distroless/internal/rootfs/elf"
)

const dir = "/lib/x86_64-linux-gnu/"

// Each row is a program that starts, or fails to start, under glibc's ld.so.
func TestLibraries(t *testing.T) {
	jvm := "/usr/lib/jvm/java-17/lib/"
	owned := func(n Node, owner string) Node { n.Owner = owner; return n }
	i386 := func(n *Node) { n.ELF.Machine, n.ELF.Class = elf.I386, 32 }
	for _, c := range []struct {
		name string
		n    []Node
		o    Options
		want []string
	}{
		{"in a default directory", []Node{prog("/x", "liba.so.1"), lib(dir + "liba.so.1")}, Options{}, nil},
		{"through a link", []Node{prog("/x", "liba.so.1"), lib(dir + "liba.so.1.2"), link("/usr/lib/liba.so.1", "../../"+dir[1:]+"liba.so.1.2")}, Options{}, nil},
		{"nowhere", []Node{prog("/x", "liba.so.1")}, Options{}, []string{"library /x liba.so.1"}},
		{"a need of a need", []Node{prog("/x", "liba.so.1"), lib(dir+"liba.so.1", "libb.so.1")}, Options{}, []string{"library " + dir + "liba.so.1 libb.so.1"}},
		{"in a directory nobody searches", []Node{prog("/x", "liba.so.1"), lib("/opt/lib/liba.so.1")}, Options{}, []string{"library /x liba.so.1"}},
		{"in the cache", []Node{prog("/x", "liba.so.1"), lib("/opt/lib/liba.so.1")}, Options{Cache: map[string][]string{"liba.so.1": {"/opt/lib/liba.so.1"}}}, nil},
		{"in LD_LIBRARY_PATH", []Node{prog("/x", "liba.so.1"), lib("/opt/lib/liba.so.1")}, Options{LibraryPath: []string{"/opt/lib"}}, nil},
		{"in RUNPATH", []Node{with(prog("/opt/bin/x", "liba.so.1"), runpath("$ORIGIN/../lib")), lib("/opt/lib/liba.so.1")}, Options{}, nil},
		{"in RUNPATH with braces", []Node{with(prog("/opt/bin/x", "liba.so.1"), runpath("", "${ORIGIN}/../$LIB")), lib("/opt/lib/x86_64-linux-gnu/liba.so.1")}, Options{}, nil},
		{"RUNPATH is not handed on", []Node{
			with(prog("/opt/x", "liba.so.1"), runpath("/opt/lib")), lib("/opt/lib/liba.so.1", "libb.so.1"), lib("/opt/lib/libb.so.1"),
		}, Options{}, []string{"library /opt/lib/liba.so.1 libb.so.1"}},
		{"RPATH is handed on", []Node{
			with(prog("/opt/x", "liba.so.1"), rpath("/opt/lib")), lib("/opt/lib/liba.so.1", "libb.so.1"), lib("/opt/lib/libb.so.1"),
		}, Options{}, nil},
		{"RPATH is not handed to a library with RUNPATH", []Node{
			with(prog("/opt/x", "liba.so.1"), rpath("/opt/lib")), with(lib("/opt/lib/liba.so.1", "libb.so.1"), runpath("/other")), lib("/opt/lib/libb.so.1"),
		}, Options{}, []string{"library /opt/lib/liba.so.1 libb.so.1"}},
		{"RUNPATH overrides RPATH", []Node{with(with(prog("/x", "liba.so.1"), rpath("/opt/lib")), runpath("/other")), lib("/opt/lib/liba.so.1")}, Options{}, []string{"library /x liba.so.1"}},
		{"loaded before, so the name is known", []Node{
			with(prog("/opt/x", "libb.so.1", "liba.so.1"), runpath("/opt/lib")), lib("/opt/lib/liba.so.1", "libb.so.1"), lib("/opt/lib/libb.so.1"),
		}, Options{}, nil},
		{"known by the soname of another file name", []Node{
			with(prog("/opt/x", "libb-2.so", "liba.so.1"), runpath("/opt/lib")), lib("/opt/lib/liba.so.1", "libb.so.1"),
			with(lib("/opt/lib/libb-2.so"), func(n *Node) { n.ELF.Soname = "libb.so.1" }),
		}, Options{}, nil},
		{"of another class is passed over", []Node{prog("/x", "liba.so.1"), with(lib(dir+"liba.so.1"), i386), lib("/usr/lib/liba.so.1")}, Options{}, nil},
		{"of another class only", []Node{prog("/x", "liba.so.1"), with(lib(dir+"liba.so.1"), i386)}, Options{}, []string{"library /x liba.so.1"}},
		{"a text of that name", []Node{prog("/x", "liba.so"), file(dir + "liba.so")}, Options{}, []string{"library /x liba.so"}},
		{"by path", []Node{prog("/x", "/opt/liba.so"), lib("/opt/liba.so")}, Options{}, nil},
		{"no default directories wanted", []Node{with(prog("/x", "liba.so.1"), func(n *Node) { n.ELF.Flags1 = elf.FlagNoDefaultLib }), lib(dir + "liba.so.1")}, Options{}, []string{"library /x liba.so.1"}},
		{"a public library that no program loads", []Node{lib(dir+"liba.so.1", "libb.so.1"), lib("/opt/libb.so.1")}, Options{}, []string{"library " + dir + "liba.so.1 libb.so.1"}},
		{"a plugin with its needs", []Node{lib("/usr/lib/app/p.so", "liba.so.1"), lib(dir + "liba.so.1")}, Options{}, nil},
		{"a plugin without", []Node{lib("/usr/lib/app/p.so", "liba.so.1")}, Options{}, []string{"library /usr/lib/app/p.so liba.so.1"}},
		{"a plugin with a neighbour of its package", []Node{owned(lib(jvm+"libjava.so", "libjvm.so"), "jre"), owned(lib(jvm+"server/libjvm.so"), "jre")}, Options{}, nil},
		{"a plugin with a neighbour of its directory", []Node{owned(lib(jvm+"libawt_xawt.so", "libjvm.so"), "jre"), owned(lib(jvm+"server/libjvm.so"), "headless")}, Options{}, nil},
		{"a plugin with a stranger of that name", []Node{owned(lib(jvm+"libawt_xawt.so", "libjvm.so"), "jre"), owned(lib("/usr/lib/other/libjvm.so"), "other")}, Options{}, []string{"library " + jvm + "libawt_xawt.so libjvm.so"}},
		{"musl", []Node{
			with(prog("/x", "libc.so", "liba.so.1"), func(n *Node) { n.ELF.Interp = "/lib/ld-musl-x86_64.so.1" }),
			link("/lib/ld-musl-x86_64.so.1", "/usr/lib/x86_64-linux-musl/libc.so"), lib("/usr/lib/x86_64-linux-musl/libc.so"), lib("/usr/local/lib/liba.so.1"),
		}, Options{}, nil},
		{"musl, missing", []Node{
			with(prog("/x", "libc.so", "liba.so.1"), func(n *Node) { n.ELF.Interp = "/lib/ld-musl-x86_64.so.1" }), lib("/lib/ld-musl-x86_64.so.1"),
		}, Options{}, []string{"library /x liba.so.1"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantFound(t, tree(append(c.n, libc()...)...), c.o, c.want...) })
	}
}

// A program of a newer release finds its library and still does not start.
func TestVersions(t *testing.T) {
	need := func(vs ...elf.Version) func(*Node) {
		return func(n *Node) { n.ELF.Verneed = []elf.Need{{File: "libc.so.6", Versions: vs}} }
	}
	plain := with(lib("/usr/lib/libplain.so.1"), func(n *Node) { n.Owner = "plain" })
	for _, c := range []struct {
		name string
		n    Node
		want []string
	}{
		{"there", with(prog("/x", "libc.so.6"), need(elf.Version{Name: "GLIBC_2.34"})), nil},
		{"too new", with(prog("/x", "libc.so.6"), need(elf.Version{Name: "GLIBC_2.34"}, elf.Version{Name: "GLIBC_2.38"})), []string{"version /x GLIBC_2.38"}},
		{"weak", with(prog("/x", "libc.so.6"), need(elf.Version{Name: "GLIBC_2.38", Weak: true})), nil},
		{"of a library", with(lib(dir+"liba.so.1", "libc.so.6"), need(elf.Version{Name: "GLIBC_2.38"})), []string{"version " + dir + "liba.so.1 GLIBC_2.38"}},
		{"of a library without versions", with(prog("/x", "libplain.so.1"), func(n *Node) {
			n.ELF.Verneed = []elf.Need{{File: "libplain.so.1", Versions: []elf.Version{{Name: "P_1"}}}}
		}), nil},
	} {
		t.Run(c.name, func(t *testing.T) { wantFound(t, tree(append(libc(), c.n, plain)...), Options{}, c.want...) })
	}
}

// The same fault, met by many programs, is one finding.
func TestOneFindingPerFault(t *testing.T) {
	n := []Node{lib(dir+"liba.so.1", "libgone.so.1")}
	for _, p := range []string{"/a", "/b", "/c"} {
		n = append(n, prog(p, "liba.so.1"))
	}
	wantFound(t, tree(append(libc(), n...)...), Options{}, "library "+dir+"liba.so.1 libgone.so.1")
}
