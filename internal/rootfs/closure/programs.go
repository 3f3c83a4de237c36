package closure

import (
	"strings"

	"distroless/internal/rootfs/elf"
)

// checkProgram looks at what the kernel needs to start an ELF file.
func (c *checker) checkProgram(n *Node) {
	if !n.executable() || n.ELF == nil {
		return
	}
	info := n.ELF
	if info.Malformed != "" {
		c.report(Damaged, n, "", "the ELF file cannot be read: %s: fetch it anew, or drop it with a slice", info.Malformed)
		return
	}
	if !info.IsProgram() {
		return
	}
	if !c.runs(info) {
		arch := info.Arch()
		if arch == "" {
			arch = info.Machine.String()
		}
		c.report(Architecture, n, arch, "it is made for %s, the image is %s: put the file for %s in its place", arch, c.opts.Arch, c.opts.Arch)
		return
	}
	if info.Interp == "" {
		return
	}
	loader, err := Resolve(c.tree, info.Interp)
	switch {
	case err != nil && c.isExempt(err):
	case err != nil:
		c.report(Loader, n, info.Interp, "it needs the loader %s, but %s: add libc6 (or the C library that it was built with), or drop it with a slice", info.Interp, err)
	case loader.ELF == nil || loader.ELF.Class != info.Class || loader.ELF.Machine != info.Machine:
		c.report(Loader, n, info.Interp, "it needs the loader %s, but %s (%s) is none for %s: add the C library that it was built with", info.Interp, loader.Path, loader.Owner, info.Machine)
	}
}

func (c *checker) isExempt(err error) bool {
	end, ok := err.(*ResolveError)
	return ok && c.exempt(end.Path)
}

// runs reports whether a file's machine is one that the image's processors
// run, with the compatible 32-bit ones.
func (c *checker) runs(i *elf.Info) bool {
	switch arch := i.Arch(); c.opts.Arch {
	case "", arch:
		return true
	case "amd64":
		return arch == "i386" || arch == "x32"
	case "arm64":
		return arch == "armhf" || arch == "armel"
	case "armhf", "armel":
		return arch == "armhf" || arch == "armel"
	}
	return false
}

// usualPath is the PATH of an image whose definition says nothing.
const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// checkScript looks at the interpreter of a "#!" line, and through env at the
// program that it starts. See execve(2).
func (c *checker) checkScript(n *Node) {
	if !n.executable() || n.Interp == "" {
		return
	}
	words := strings.Fields(n.Interp)
	if len(words) == 0 || !strings.HasPrefix(words[0], "/") {
		c.report(Interpreter, n, n.Interp, "its first line asks for %q, which depends on the working directory: write the whole path", n.Interp)
		return
	}
	if !c.startable(words[0]) {
		c.report(Interpreter, n, words[0], "its first line asks for %s, which is no program of the image: add the package that ships it, or drop the script with a slice", words[0])
		return
	}
	if base(words[0]) != "env" {
		return
	}
	prog := envProgram(words[1:])
	if prog == "" || c.onPath(prog) {
		return
	}
	c.report(Interpreter, n, prog, "its first line asks env for %s, which is not on PATH in the image: add the package that ships it, or drop the script with a slice", prog)
}

// startable reports whether a path leads to an executable file.
func (c *checker) startable(p string) bool {
	n, err := Resolve(c.tree, p)
	if err != nil {
		return c.isExempt(err)
	}
	return n.executable()
}

func (c *checker) onPath(prog string) bool {
	if strings.Contains(prog, "/") {
		return !strings.HasPrefix(prog, "/") || c.startable(prog)
	}
	dirs := c.opts.Path
	if dirs == nil {
		dirs = strings.Split(usualPath, ":")
	}
	for _, dir := range dirs {
		if strings.HasPrefix(dir, "/") && c.startable(dir+"/"+prog) {
			return true
		}
	}
	return false
}

// envProgram is the program that env(1) starts with the given arguments, "" if
// they name none. Options and assignments come first.
func envProgram(args []string) string {
	for i := 0; i < len(args); i++ {
		a := strings.TrimPrefix(args[i], "--split-string=")
		switch {
		case a == "-u" || a == "--unset" || a == "-C" || a == "--chdir" || a == "-a" || a == "--argv0":
			i++ // the option's value
		case strings.HasPrefix(a, "--") || a == "-" || strings.HasPrefix(a, "-u") || strings.HasPrefix(a, "-C"):
		case strings.HasPrefix(a, "-") && strings.Contains(a, "S"):
			// -S and what stands right behind it, as in "-Spython3 -u"
			if rest := a[strings.Index(a, "S")+1:]; rest != "" {
				args[i] = rest
				i--
			}
		case strings.HasPrefix(a, "-") || strings.Contains(a, "="):
		default:
			return a
		}
	}
	return ""
}
