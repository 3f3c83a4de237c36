package closure

import (
	"slices"
	"strings"

	"distroless/internal/rootfs/elf"
)

// checkLibraries loads every program and every library that no program brings
// in. Those are judged as if a program of their own loaded them.
//
// A library in a directory that every program searches must find its needs by
// itself, since any program may be linked with it. One in a private directory
// is loaded by name, by a program that has loaded its neighbours before: there
// a library of the same package or the same directory answers for a name that
// the search does not find (libjava.so needs libjvm.so, which the launcher
// loads first from a directory of its own).
func (c *checker) checkLibraries() {
	reached := map[string]bool{}
	var public, private []*Node
	for i := range c.nodes {
		n := &c.nodes[i]
		switch {
		case n.Kind != File || n.ELF == nil || n.ELF.Malformed != "" || !c.runs(n.ELF) || !n.ELF.Dynamic:
		case n.ELF.Interp != "" && n.executable():
			c.judge(c.newProcess(*n), reached)
		case c.isPublic(n):
			public = append(public, n)
		default:
			private = append(private, n)
		}
	}
	for _, n := range public {
		if !reached[n.Path] {
			c.judge(c.newProcess(*n), reached)
		}
	}
	for _, n := range private {
		if !reached[n.Path] {
			p := c.newProcess(*n)
			if p.find == nil {
				p.find = c.neighbour
			}
			c.judge(p, reached)
		}
	}
}

// usesMusl reports whether a file is linked with musl, whose loader searches
// other directories and knows no versions.
func usesMusl(i *elf.Info) bool {
	return strings.HasPrefix(base(i.Interp), "ld-musl-") || slices.ContainsFunc(i.Needed, isMusl)
}

// isMusl reports whether a name is one that musl's C library goes by.
func isMusl(name string) bool { return name == "libc.so" || strings.HasPrefix(name, "libc.musl-") }

// isPublic reports whether every program finds a library.
func (c *checker) isPublic(n *Node) bool {
	for _, d := range defaultDirs(n.ELF.Arch()) {
		if dir, err := c.resolve(d); err == nil && parent(n.Path) == dir.Path {
			return true
		}
	}
	for _, name := range []string{n.ELF.Soname, base(n.Path)} {
		for _, path := range c.opts.Cache[name] {
			if at, err := c.resolve(path); err == nil && at.Path == n.Path {
				return true
			}
		}
	}
	return false
}

// judge loads a process and reports what is missing in it.
func (c *checker) judge(p *process, reached map[string]bool) {
	p.load()
	main := p.objects[0]
	for _, o := range p.objects {
		reached[o.node.Path] = true
	}
	for _, m := range p.missing {
		c.reportMissing(main, m)
	}
	if !usesMusl(main.info) {
		for _, o := range p.objects {
			c.checkVersions(p, o)
		}
	}
}

// reportMissing says what is known of a library that ld.so does not find.
func (c *checker) reportMissing(main *object, m unmet) {
	by := ""
	if m.object != main {
		by = " (loaded by " + main.node.Path + ")"
	}
	if m.other != "" {
		c.report(Library, &m.object.node, m.name, "it needs %s%s, and %s is no library for %s: put the right one in its place", m.name, by, m.other, main.info.Machine)
		return
	}
	if at, ok := c.anywhere(m.object, m.name); ok {
		c.report(Library, &m.object.node, m.name, "it needs %s%s, and ld.so does not look in %s, where it lies (%s): name that directory in /etc/ld.so.conf.d with a cache made of it, or in LD_LIBRARY_PATH",
			m.name, by, parent(at.Path), at.Owner)
		return
	}
	c.report(Library, &m.object.node, m.name, "it needs %s%s, which is not in the image: add the package that ships it, or drop this file with a slice", m.name, by)
}

// checkVersions compares the versions that an object needs with those of the
// libraries that were found. ld.so takes a library without any versions for
// every one (elf/dl-version.c, match_symbol), and goes on without weak ones.
func (c *checker) checkVersions(p *process, o *object) {
	for _, need := range o.info.Verneed {
		lib := p.byName[need.File]
		if lib == nil || len(lib.info.Verdef) == 0 {
			continue
		}
		for _, v := range need.Versions {
			if v.Weak || slices.Contains(lib.info.Verdef, v.Name) {
				continue
			}
			c.report(Version, &o.node, v.Name, "it needs version %s of %s, which %s (%s) does not define: it was built for another release; use the one for this image's distro",
				v.Name, need.File, lib.node.Path, lib.node.Owner)
		}
	}
}

// libraries are the libraries of the tree by soname and by file name, sorted
// by path.
func (c *checker) libraries(name string) []*Node {
	if c.byName == nil {
		c.byName = map[string][]*Node{}
		for i := range c.nodes {
			n := &c.nodes[i]
			if n.Kind != File || n.ELF == nil || !n.ELF.Dynamic {
				continue
			}
			c.byName[base(n.Path)] = append(c.byName[base(n.Path)], n)
			if s := n.ELF.Soname; s != "" && s != base(n.Path) {
				c.byName[s] = append(c.byName[s], n)
			}
		}
	}
	return c.byName[name]
}

// neighbour is a library of that name in the same package or the same private
// directory.
func (c *checker) neighbour(o *object, name string) (Node, bool) {
	for _, n := range c.libraries(name) {
		if n.ELF.Class != o.info.Class || n.ELF.Machine != o.info.Machine {
			continue
		}
		if n.Owner == o.node.Owner || privateRoot(n.Path) == privateRoot(o.node.Path) {
			return *n, true
		}
	}
	return Node{}, false
}

// anywhere is any library of that name: all that is asked for programs of
// musl, whose loader is the C library too.
func (c *checker) anywhere(o *object, name string) (Node, bool) {
	for _, n := range c.libraries(name) {
		if n.ELF.Class == o.info.Class && n.ELF.Machine == o.info.Machine {
			return *n, true
		}
	}
	if isMusl(name) {
		for at := o; at != nil; at = at.loader {
			if n, err := c.resolve(at.info.Interp); at.info.Interp != "" && err == nil && n.ELF != nil {
				return n, true
			}
		}
	}
	return Node{}, false
}

// privateRoot is the directory of a package's own below the shared ones, as
// /usr/lib/jvm, /usr/lib/x86_64-linux-gnu/samba or /opt/app are.
func privateRoot(p string) string {
	names := strings.Split(strings.TrimPrefix(p, "/"), "/")
	for i, name := range names[:len(names)-1] {
		switch {
		case name == "usr" || name == "local" || name == "lib" || name == "lib64" || name == "libexec" || name == "share" || name == "opt":
		case strings.Contains(name, "-linux-"):
		default:
			return "/" + strings.Join(names[:i+1], "/")
		}
	}
	return p
}
