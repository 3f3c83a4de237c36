package closure

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"distroless/internal/rootfs/elf"
)

// memory is a tree of nodes by path.
type memory map[string]Node

func (m memory) Lookup(p string) (Node, bool) { n, ok := m[p]; return n, ok }

func (m memory) Walk(f func(Node) error) error {
	for _, p := range slices.Sorted(maps.Keys(m)) {
		if err := f(m[p]); err != nil {
			return err
		}
	}
	return nil
}

// tree makes a tree of nodes with every directory above them.
func tree(nodes ...Node) memory {
	m := memory{}
	for _, n := range nodes {
		for p := parent(n.Path); p != "/"; p = parent(p) {
			if _, ok := m[p]; !ok {
				m[p] = Node{Path: p, Kind: Dir, Mode: 0o755, Owner: "base-files"}
			}
		}
	}
	for _, n := range nodes {
		if n.Owner == "" {
			n.Owner = "pkg"
		}
		m[n.Path] = n
	}
	return m
}

func link(p, target string) Node { return Node{Path: p, Kind: Symlink, Mode: 0o777, Target: target} }

func TestResolve(t *testing.T) {
	m := tree(
		Node{Path: "/usr/bin/x", Kind: File}, Node{Path: "/usr/lib/real", Kind: File},
		link("/bin", "usr/bin"), link("/a", "/b"), link("/b", "a"), link("/up", "../../../usr"),
		link("/usr/lib/rel", "../bin/x"), link("/abs", "/bin/x"), link("/empty", ""), link("/gone", "/nowhere/at/all"),
		link("/etc/mtab", "../proc/self/mounts"), link("/slash", "/usr/bin/x/"),
	)
	for _, c := range []struct{ path, want, fact string }{
		{"/", "/", ""},
		{"/usr/bin/x", "/usr/bin/x", ""},
		{"/bin/x", "/usr/bin/x", ""},
		{"/up/bin/../lib/rel", "/usr/bin/x", ""},
		{"/../../abs", "/usr/bin/x", ""},
		{"/usr//lib/./real", "/usr/lib/real", ""},
		{"/a", "/a", "circle"},
		{"/empty", "/empty", "without a target"},
		{"/gone", "/nowhere", "does not exist"},
		{"/usr/bin/x/y", "/usr/bin/x", "not a directory"},
		{"/slash", "/usr/bin/x", "not a directory"},
		{"/etc/mtab", "/proc", "does not exist"},
	} {
		n, err := Resolve(m, c.path)
		var e *ResolveError
		switch {
		case c.fact == "" && (err != nil || n.Path != c.want):
			t.Errorf("%s: %q, %v", c.path, n.Path, err)
		case c.fact != "" && (!errors.As(err, &e) || !strings.Contains(e.Fact, c.fact) || c.fact != "circle" && e.Path != c.want):
			t.Errorf("%s: got %v, want %s %s", c.path, err, c.want, c.fact)
		}
	}
}

// lib and prog make files as Debian has them on amd64.
func lib(p string, needed ...string) Node {
	return Node{Path: p, Kind: File, Mode: 0o644, ELF: &elf.Info{
		Class: 64, Machine: elf.X8664, Type: elf.Shared, Dynamic: true, Soname: base(p), Needed: needed,
	}}
}

func prog(p string, needed ...string) Node {
	n := lib(p, needed...)
	n.Mode = 0o755
	n.ELF.Soname = ""
	n.ELF.Interp = ldso
	return n
}

const ldso = "/lib64/ld-linux-x86-64.so.2"

func with(n Node, f func(*Node)) Node { f(&n); return n }

func runpath(dirs ...string) func(*Node) { return func(n *Node) { n.ELF.RunPath = dirs } }
func rpath(dirs ...string) func(*Node)   { return func(n *Node) { n.ELF.RPath = dirs } }

// libc is what libc6 brings: the loader and the library with its versions.
func libc() []Node {
	c := lib("/lib/x86_64-linux-gnu/libc.so.6", "ld-linux-x86-64.so.2")
	c.ELF.Verdef = []string{"libc.so.6", "GLIBC_2.2.5", "GLIBC_2.34"}
	return []Node{c, lib("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"), link(ldso, "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")}
}

// found checks a tree and lists what was found as "check path wants".
func found(t *testing.T, m memory, o Options) []string {
	t.Helper()
	r, err := Check(m, o)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range r.Findings {
		out = append(out, strings.TrimSpace(f.Check+" "+f.Path+" "+f.Wants))
		if !strings.Contains(f.Message, ": ") {
			t.Errorf("%v: no mend in the message", f)
		}
	}
	return out
}

func wantFound(t *testing.T, m memory, o Options, want ...string) {
	t.Helper()
	if got := found(t, m, o); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
