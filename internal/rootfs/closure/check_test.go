package closure

import (
	"fmt"
	"strings"
	"testing"

	"distroless/internal/rootfs/elf"
)

func file(p string) Node { return Node{Path: p, Kind: File, Mode: 0o644} }

func script(p, interp string) Node { return Node{Path: p, Kind: File, Mode: 0o755, Interp: interp} }

func static(p string) Node {
	return Node{Path: p, Kind: File, Mode: 0o755, ELF: &elf.Info{Class: 64, Machine: elf.X8664, Type: elf.Executable}}
}

// Each of these images builds and then fails when it is run or scanned.
func TestPlaces(t *testing.T) {
	orphan := tree(file("/etc/x"))
	orphan["/etc/x"] = Node{Path: "/etc/x", Kind: File, Mode: 0o644}
	noParent := tree(file("/etc/x"))
	delete(noParent, "/etc")
	noParent["/opt/a/b"] = Node{Path: "/opt/a/b", Kind: File, Owner: "pkg"}
	for _, c := range []struct {
		name string
		tree memory
		o    Options
		want []string
	}{
		{"a plain file", tree(file("/etc/x")), Options{}, nil},
		{"no owner", orphan, Options{}, []string{"owner /etc/x"}},
		{"no parent", noParent, Options{}, []string{"parent /etc/x /etc", "parent /opt/a/b /opt/a"}},
		{"a parent that is a link", tree(link("/bin", "usr/bin"), file("/usr/bin/x"), file("/bin/y")), Options{}, []string{"parent /bin/y /bin"}},
		{"set-uid", tree(with(static("/bin/su"), func(n *Node) { n.Mode |= 0o4000 })), Options{}, []string{"set-id /bin/su"}},
		{"set-gid, allowed", tree(with(static("/bin/su"), func(n *Node) { n.Mode |= 0o2000 })), Options{AllowSetID: []string{"/bin/*"}}, nil},
		{"a directory that hands its group on", tree(Node{Path: "/var/mail", Kind: Dir, Mode: 0o2775}), Options{}, nil},
		{"a real /bin in a merged tree", tree(file("/bin/x")), Options{MergedUsr: true}, []string{"merged-usr /bin usr/bin"}},
		{"a real /lib64 in a merged tree", tree(file("/lib64/x")), Options{MergedUsr: true}, []string{"merged-usr /lib64 usr/lib64"}},
		{"a link astray in a merged tree", tree(link("/sbin", "usr/bin"), file("/usr/bin/x")), Options{MergedUsr: true}, []string{"merged-usr /sbin usr/sbin"}},
		{"a merged tree", tree(link("/bin", "usr/bin"), file("/usr/bin/x"), link("/lib", "/usr/lib"), file("/usr/lib/x"), file("/libexec")), Options{MergedUsr: true}, nil},
		{"split directories where they may be", tree(file("/bin/x")), Options{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) { wantFound(t, c.tree, c.o, c.want...) })
	}
}

func TestLinks(t *testing.T) {
	for _, c := range []struct {
		name string
		n    []Node
		o    Options
		want []string
	}{
		{"to a file", []Node{link("/a", "etc/x"), file("/etc/x")}, Options{}, nil},
		{"to nothing", []Node{link("/a", "etc/x")}, Options{}, []string{"link /a etc/x"}},
		{"through another link to nothing", []Node{link("/a", "b"), link("/b", "/gone")}, Options{}, []string{"link /a b", "link /b /gone"}},
		{"out of the tree", []Node{link("/etc/a", "../../../x"), file("/x")}, Options{}, nil},
		{"in a circle", []Node{link("/a", "b"), link("/b", "a")}, Options{}, []string{"link /a b", "link /b a"}},
		{"to what the kernel fills", []Node{link("/etc/mtab", "../proc/self/mounts"), link("/var/run", "/run"), link("/var/lock", "/run/lock"), link("/fd", "dev/fd"), link("/s", "sys/x")}, Options{}, nil},
		{"to what looks like it", []Node{link("/a", "/runtime/x")}, Options{}, []string{"link /a /runtime/x"}},
		{"to a volume", []Node{link("/a", "/data/x")}, Options{Exempt: []Exemption{{"/data", "a volume is mounted there"}}}, nil},
		{"without a target", []Node{link("/a", "")}, Options{}, []string{"link /a"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantFound(t, tree(c.n...), c.o, c.want...) })
	}
}

func TestScripts(t *testing.T) {
	sh, env, python := static("/usr/bin/dash"), static("/usr/bin/env"), static("/usr/bin/python3.13")
	for _, c := range []struct {
		name string
		n    []Node
		o    Options
		want []string
	}{
		{"with its shell", []Node{script("/x", "/bin/sh -e"), link("/bin", "usr/bin"), link("/usr/bin/sh", "dash"), sh}, Options{}, nil},
		{"without a shell", []Node{script("/x", "/bin/sh -e")}, Options{}, []string{"interpreter /x /bin/sh"}},
		{"a shell that is no program", []Node{script("/x", "/etc/x"), file("/etc/x")}, Options{}, []string{"interpreter /x /etc/x"}},
		{"not executable", []Node{with(script("/x", "/bin/sh"), func(n *Node) { n.Mode = 0o644 })}, Options{}, nil},
		{"relative", []Node{script("/x", "bin/sh")}, Options{}, []string{"interpreter /x bin/sh"}},
		{"env without env", []Node{script("/x", "/usr/bin/env python3"), python}, Options{}, []string{"interpreter /x /usr/bin/env"}},
		{"env with python", []Node{script("/x", "/usr/bin/env python3"), env, python, link("/usr/bin/python3", "python3.13")}, Options{}, nil},
		{"env without python", []Node{script("/x", "/usr/bin/env python3"), env, python}, Options{}, []string{"interpreter /x python3"}},
		{"env -S", []Node{script("/x", "/usr/bin/env -S A=b python3 -u"), env}, Options{}, []string{"interpreter /x python3"}},
		{"env -vSpython3", []Node{script("/x", "/usr/bin/env -vSpython3 -u"), env}, Options{}, []string{"interpreter /x python3"}},
		{"env -i -u NAME --chdir=/", []Node{script("/x", "/usr/bin/env -i -u SHELL --chdir=/ node"), env}, Options{}, []string{"interpreter /x node"}},
		{"another PATH", []Node{script("/x", "/usr/bin/env app"), env, static("/opt/bin/app")}, Options{Path: []string{"/opt/bin"}}, nil},
		{"env with a path", []Node{script("/x", "/usr/bin/env /opt/bin/app"), env}, Options{}, []string{"interpreter /x /opt/bin/app"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantFound(t, tree(c.n...), c.o, c.want...) })
	}
}

func TestPrograms(t *testing.T) {
	arm := func(n *Node) { n.ELF.Machine = elf.AArch64 }
	i386 := func(n *Node) { n.ELF.Machine, n.ELF.Class = elf.I386, 32 }
	for _, c := range []struct {
		name string
		n    []Node
		o    Options
		want []string
	}{
		{"static", []Node{static("/x")}, Options{Arch: "amd64"}, nil},
		{"with its loader", append(libc(), prog("/x", "libc.so.6")), Options{Arch: "amd64"}, nil},
		{"without its loader", []Node{prog("/x")}, Options{}, []string{"loader /x " + ldso}},
		{"with a loader for another machine", []Node{prog("/x"), with(lib(ldso), arm)}, Options{}, []string{"loader /x " + ldso}},
		{"for another machine", []Node{with(static("/x"), arm)}, Options{Arch: "amd64"}, []string{"architecture /x arm64"}},
		{"for a machine of 32 bits that runs here", []Node{with(static("/x"), i386)}, Options{Arch: "amd64"}, nil},
		{"for a machine of 32 bits that does not", []Node{with(static("/x"), i386)}, Options{Arch: "arm64"}, []string{"architecture /x i386"}},
		{"data for another machine", []Node{with(static("/x"), func(n *Node) { arm(n); n.Mode = 0o644 })}, Options{Arch: "amd64"}, nil},
		{"a library for another machine", []Node{with(lib("/usr/lib/x.so", "gone.so"), arm)}, Options{Arch: "amd64"}, nil},
		{"damaged", []Node{with(static("/x"), func(n *Node) { n.ELF = &elf.Info{Malformed: "offset 4: class 9"} })}, Options{}, []string{"damaged /x"}},
		{"damaged data", []Node{with(file("/x"), func(n *Node) { n.ELF = &elf.Info{Malformed: "offset 4: class 9"} })}, Options{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) { wantFound(t, tree(c.n...), c.o, c.want...) })
	}
}

func TestWaivers(t *testing.T) {
	m := tree(link("/usr/share/doc/a/x", "gone"), link("/usr/share/b", "gone"), script("/usr/bin/s", "/bin/sh"))
	o := Options{Waivers: []Waiver{
		{Check: Link, Path: "/usr/share/doc/**", Reason: "nobody reads it"},
		{Check: Interpreter, Path: "/usr/bin/*", Wants: "/bin/s?", Reason: "run from elsewhere"},
		{Check: SetID, Path: "/usr/bin/su", Reason: "not there"},
		{Check: Link, Path: "/usr/share/*", Wants: "other", Reason: "another target"},
	}}
	r, err := Check(m, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) != 1 || r.Findings[0].Path != "/usr/share/b" || len(r.Waived) != 2 || len(r.Unused) != 2 {
		t.Errorf("findings %v\nwaived %v\nunused %v", r.Findings, r.Waived, r.Unused)
	}
	if r.Waived[1].Waiver.Reason != "nobody reads it" {
		t.Errorf("waived for another reason: %v", r.Waived)
	}
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "[link] /usr/share/b (pkg): ") {
		t.Errorf("error %v", err)
	}
	for _, o := range []Options{{Waivers: []Waiver{{Check: Link}}}, {Exempt: []Exemption{{Path: "/data"}}}} {
		if _, err := Check(m, o); err == nil || !strings.Contains(err.Error(), "reason") {
			t.Errorf("without a reason: %v", err)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/usr/bin/*", "/usr/bin/x", true}, {"/usr/bin/*", "/usr/bin/x/y", false}, {"/usr/**", "/usr/bin/x", true},
		{"/**/x", "/usr/bin/x", true}, {"/**/x", "/x", true}, {"/usr/*/x", "/usr/bin/x", true}, {"/usr/b?n", "/usr/bin", true},
		{"libfoo.so.*", "libfoo.so.1", true}, {"lib*o.so", "libfoo.so", true}, {"", "", true}, {"a", "ab", false}, {"a*", "a", true},
		{"*", "", true}, {"?", "", false},
	} {
		if got := match(c.pattern, c.path); got != c.want {
			t.Errorf("match(%q, %q) = %v", c.pattern, c.path, got)
		}
	}
}

// A broken image may have thousands of findings; the error must stay readable.
func TestErrIsBounded(t *testing.T) {
	var n []Node
	for i := range 50 {
		n = append(n, link(fmt.Sprintf("/l%02d", i), "gone"))
	}
	r, err := Check(tree(n...), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Err().Error(); !strings.Contains(s, "50 findings") || !strings.HasSuffix(s, "and 30 more") {
		t.Error(s)
	}
	if (&Result{}).Err() != nil {
		t.Error("no findings must be no error")
	}
}
