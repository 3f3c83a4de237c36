package closure

import (
	"strings"

	"distroless/internal/rootfs/elf"
)

// triplet is the name of an architecture's library directories. See
// dpkg-architecture(1).
func triplet(arch string) string {
	switch arch {
	case "amd64":
		return "x86_64-linux-gnu"
	case "x32":
		return "x86_64-linux-gnux32"
	case "i386":
		return "i386-linux-gnu"
	case "arm64":
		return "aarch64-linux-gnu"
	case "armhf":
		return "arm-linux-gnueabihf"
	case "armel":
		return "arm-linux-gnueabi"
	case "s390x":
		return "s390x-linux-gnu"
	case "ppc64el":
		return "powerpc64le-linux-gnu"
	case "ppc64":
		return "powerpc64-linux-gnu"
	case "riscv64":
		return "riscv64-linux-gnu"
	case "mips64el":
		return "mips64el-linux-gnuabi64"
	case "loong64":
		return "loongarch64-linux-gnu"
	}
	return ""
}

// defaultDirs are the directories that Debian's ld.so searches last, in its
// order; `ld.so --help` prints them.
func defaultDirs(arch string) []string {
	t := triplet(arch)
	if t == "" {
		return []string{"/lib", "/usr/lib"}
	}
	return []string{"/lib/" + t, "/usr/lib/" + t, "/lib", "/usr/lib"}
}

// object is a file in a process.
type object struct {
	node   Node    // the file itself, the path without links
	origin string  // what $ORIGIN stands for
	loader *object // whose need brought it in; nil for the program
	info   *elf.Info
}

// process is the loading of one program, step for step as glibc's ld.so does
// it (elf/dl-load.c, _dl_map_object): breadth first, and a name that an object
// has already answered to is not searched again.
type process struct {
	c       *checker
	arch    string
	dirs    []string // the default ones
	objects []*object
	byName  map[string]*object // by soname and by each name that was asked for
	byFile  map[string]*object
	missing []unmet
	// find looks for a library that the search did not find; nil for nothing.
	find func(o *object, name string) (Node, bool)
}

// unmet is a need that nothing answers.
type unmet struct {
	object *object
	name   string
	other  string // a file of that name that is no library for this machine; else ""
}

func (c *checker) newProcess(main Node) *process {
	arch := main.ELF.Arch()
	p := &process{c: c, arch: arch, dirs: defaultDirs(arch), byName: map[string]*object{}, byFile: map[string]*object{}}
	if usesMusl(main.ELF) {
		p.find = c.anywhere
	}
	p.add(main, "", parent(main.Path), nil)
	return p
}

// load brings in everything that the program needs.
func (p *process) load() {
	if i := p.objects[0].info.Interp; i != "" {
		if n, err := p.c.resolve(i); err == nil && p.fits(n) {
			p.add(n, i, parent(i), nil) // ld.so is in its own list from the start
		}
	}
	for i := 0; i < len(p.objects); i++ {
		o := p.objects[i]
		for _, name := range o.info.Needed {
			p.need(o, name)
		}
	}
}

func (p *process) need(o *object, name string) {
	if p.byName[name] != nil {
		return
	}
	n, asked, other := p.search(o, name)
	if n.ELF == nil && p.find != nil {
		if n, _ = p.find(o, name); n.ELF != nil {
			asked = n.Path
		}
	}
	if n.ELF == nil {
		p.missing = append(p.missing, unmet{o, name, other})
		return
	}
	if have := p.byFile[n.Path]; have != nil {
		p.byName[name] = have
		return
	}
	p.add(n, name, parent(asked), o)
}

func (p *process) add(n Node, name, origin string, loader *object) {
	o := &object{node: n, origin: origin, loader: loader, info: n.ELF}
	p.objects = append(p.objects, o)
	p.byFile[n.Path] = o
	for _, s := range []string{name, n.ELF.Soname} {
		if s != "" && p.byName[s] == nil {
			p.byName[s] = o
		}
	}
}

// fits reports whether ld.so takes a file rather than look further: another
// class or machine makes it go on.
func (p *process) fits(n Node) bool {
	main := p.objects[0].info
	return n.Kind == File && n.ELF != nil && n.ELF.Dynamic && n.ELF.Class == main.Class && n.ELF.Machine == main.Machine && n.ELF.BigEndian == main.BigEndian
}

// search returns the library that ld.so finds for a name that o needs, and the
// path at which it finds it. other is a file of that name that does not fit.
func (p *process) search(o *object, name string) (found Node, asked, other string) {
	for _, path := range p.candidates(o, name) {
		n, err := p.c.resolve(path)
		switch {
		case err != nil:
		case p.fits(n):
			return n, path, ""
		default:
			other = n.Path
		}
	}
	return Node{}, "", other
}

// candidates are the paths that ld.so tries, in its order: see ld.so(8).
func (p *process) candidates(o *object, name string) []string {
	if strings.Contains(name, "/") {
		return []string{p.expand(o, name)}
	}
	var out []string
	in := func(at *object, dirs []string) {
		for _, d := range dirs {
			// A relative one depends on the working directory.
			if d = p.expand(at, d); strings.HasPrefix(d, "/") {
				out = append(out, strings.TrimSuffix(d, "/")+"/"+name)
			}
		}
	}
	if o.info.RunPath == nil {
		for at := o; at != nil; at = at.loader {
			if at.info.RunPath == nil {
				in(at, at.info.RPath)
			}
		}
	}
	in(o, p.c.opts.LibraryPath)
	in(o, o.info.RunPath)
	noDefault := o.info.Flags1&elf.FlagNoDefaultLib != 0
	for _, path := range p.c.opts.Cache[name] {
		if !noDefault || !p.isDefault(path) {
			out = append(out, path)
		}
	}
	if !noDefault {
		in(o, p.dirs)
	}
	return out
}

func (p *process) isDefault(path string) bool {
	for _, d := range p.dirs {
		if below(path, d) {
			return true
		}
	}
	return false
}

// expand replaces ld.so's tokens in a path. See ld.so(8). $PLATFORM differs
// from machine to machine and so leads nowhere here.
func (p *process) expand(o *object, s string) string {
	if !strings.Contains(s, "$") {
		return s
	}
	lib := "lib"
	if t := triplet(p.arch); t != "" {
		lib += "/" + t
	}
	return strings.NewReplacer("${ORIGIN}", o.origin, "$ORIGIN", o.origin, "${LIB}", lib, "$LIB", lib).Replace(s)
}

// resolved is a remembered answer of Resolve.
type resolved struct {
	node Node
	err  error
}

// resolve is Resolve with a memory: the same few places are asked for by every
// program.
func (c *checker) resolve(path string) (Node, error) {
	if r, ok := c.known[path]; ok {
		return r.node, r.err
	}
	n, err := Resolve(c.tree, path)
	c.known[path] = resolved{n, err}
	return n, err
}
