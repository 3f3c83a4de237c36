package ldcache

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"distroless/internal/rootfs/closure"
	"distroless/internal/rootfs/elf"
)

// Scan looks for libraries in a tree as ldconfig does.
func Scan(t Tree, o Options) (*Cache, error) {
	g, err := newTarget(o)
	if err != nil {
		return nil, err
	}
	s, err := newScanner(t, g)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", Path, err)
	}
	if err := s.configure(); err != nil {
		return nil, fmt.Errorf("make %s: %w", Path, err)
	}
	for _, d := range s.dirs {
		if err := s.scan(d); err != nil {
			return nil, fmt.Errorf("make %s: %w", Path, err)
		}
	}
	slices.SortStableFunc(s.cache.Entries, compare)
	return s.cache, nil
}

// library is a file of a directory that goes into the cache: one for each
// soname. See struct dlib_entry.
type library struct {
	name      string // of the file
	soname    string
	link      bool
	flags     int32
	isaLevel  uint32
	osVersion uint32
}

// scan is search_dir.
func (s *scanner) scan(d directory) error {
	var found []library
	bySoname := map[string]int{}
	for _, name := range s.children[d.real] {
		if err := s.refuseLegacy(d, name); err != nil {
			return err
		}
		l, ok := s.library(d, name)
		if !ok {
			continue
		}
		i, have := bySoname[l.soname]
		if !have {
			bySoname[l.soname] = len(found)
			found = append(found, l)
			continue
		}
		// A file is better than a link, else the newer one is. The first
		// one's flags stay.
		if old := &found[i]; !l.link && old.link || l.link == old.link && compareNames(old.name, l.name) < 0 {
			old.name, old.link, old.isaLevel, old.osVersion = l.name, l.link, l.isaLevel, l.osVersion
		}
	}
	for _, l := range found {
		file := l.soname
		if d.hwcap != "" {
			file = l.name
		}
		s.cache.Entries = append(s.cache.Entries, Entry{
			Name: l.soname, Path: d.path + "/" + file, Flags: l.flags, Hwcap: d.hwcap, Extra: d.extra,
			isaLevel: l.isaLevel, osVersion: l.osVersion,
		})
	}
	return nil
}

// library looks at one name of a directory.
func (s *scanner) library(d directory, name string) (library, bool) {
	if !s.isDSO(name) || s.isTemporary(name) {
		return library{}, false
	}
	at, ok := s.tree.Lookup(path.Join(d.real, name))
	if !ok {
		return library{}, false
	}
	l := library{name: name, link: at.Kind == closure.Symlink}
	n, err := closure.Resolve(s.tree, at.Path)
	if err != nil || n.Kind != closure.File || n.ELF == nil {
		return library{}, false
	}
	if l.flags, ok = s.flags(n.ELF); !ok {
		return library{}, false
	}
	l.isaLevel, l.osVersion = s.isaLevel(n.ELF), s.osVersion(n.ELF)
	if l.soname = n.ELF.Soname; l.soname == "" {
		l.soname = name
	}
	// A link that is neither its target's soname nor the name that ld(1)
	// looks for counts as a file.
	if l.link && name != l.soname && !(strings.HasSuffix(name, ".so") && strings.HasPrefix(l.soname, name)) {
		l.link = false
	}
	if l.link {
		l.soname = name
	}
	return l, true
}

// isDSO is _dl_is_dso.
func (s *scanner) isDSO(name string) bool {
	if (strings.HasPrefix(name, "lib") || strings.HasPrefix(name, "ld-")) && strings.Contains(name, ".so") {
		return true
	}
	return s.minor >= 33 && (strings.HasPrefix(name, "ld.so.") || strings.HasPrefix(name, "ld64.so."))
}

// isTemporary is skip_dso_based_on_name: files of prelink, and later of rpm and
// dpkg, that are not whole yet.
func (s *scanner) isTemporary(name string) bool {
	const prelink = ".#prelink#"
	if strings.HasSuffix(name, prelink) || len(name) >= len(prelink)+7 && strings.HasPrefix(name[len(name)-len(prelink)-7:], prelink+".") {
		return true
	}
	return s.minor >= 39 && (strings.Contains(name, ";") || strings.HasSuffix(name, ".dpkg-new") || strings.HasSuffix(name, ".dpkg-tmp"))
}

// Kinds of libraries. See sysdeps/generic/ldconfig.h.
const (
	flagELF         int32 = 0x0001
	flagLibc6       int32 = 0x0003
	flagX8664       int32 = 0x0300
	flagS390        int32 = 0x0400
	flagPowerPC     int32 = 0x0500
	flagX32         int32 = 0x0800
	flagARMHard     int32 = 0x0900
	flagAArch64     int32 = 0x0a00
	flagARMSoft     int32 = 0x0b00
	flagRISCVSoft   int32 = 0x0f00
	flagRISCVDouble int32 = 0x1000
)

// flags is process_elf_file of each architecture's readelflib.c; false for a
// file that ldconfig passes over. Only x86 looks at the machine.
func (s *scanner) flags(i *elf.Info) (int32, bool) {
	if i.Malformed != "" || i.Type != elf.Shared || !i.Dynamic || i.BigEndian != s.big {
		return 0, false
	}
	switch s.arch {
	case "amd64":
		switch {
		case i.Machine == elf.X8664 && i.Class == 64:
			return flagLibc6 | flagX8664, true
		case i.Machine == elf.X8664:
			return flagLibc6 | flagX32, true
		case i.Machine == elf.I386 && i.Class == 32:
			return s.genericFlags(i), true
		}
		return 0, false
	case "riscv64":
		return riscvFlags(i.Flags)
	}
	if i.Class == 32 {
		if hard := armFlags(i.Flags); hard != 0 && (s.arch == "arm64" || s.arch == "armhf") {
			return hard, true
		}
		return s.genericFlags(i), true
	}
	switch s.arch {
	case "s390x":
		return flagLibc6 | flagS390, true
	case "ppc64el":
		return flagLibc6 | flagPowerPC, true
	}
	return flagLibc6 | flagAArch64, true
}

// armFlags tells the two floating point conventions apart; 0 where the file
// does not say which one it follows (EF_ARM_EABI_VER5, EF_ARM_ABI_FLOAT_*).
func armFlags(e uint32) int32 {
	switch {
	case e&0xff000000 != 0x05000000:
		return 0
	case e&0x400 != 0:
		return flagLibc6 | flagARMHard
	case e&0x200 != 0:
		return flagLibc6 | flagARMSoft
	}
	return flagLibc6
}

// riscvFlags passes over files that use what glibc has no support for.
func riscvFlags(e uint32) (int32, bool) {
	const floatABI, compressed = 0x6, 0x1
	if e&^(floatABI|compressed) != 0 {
		return 0, false
	}
	switch e & floatABI {
	case 0:
		return flagLibc6 | flagRISCVSoft, true
	case 4:
		return flagLibc6 | flagRISCVDouble, true
	}
	return 0, false
}

// genericFlags is elf/readelflib.c: until 2.37 a library counted as one of
// glibc 2 only if it asked for a loader or library of that.
func (s *scanner) genericFlags(i *elf.Info) int32 {
	if s.minor >= 37 || i.Interp != "" || slices.Contains(i.Needed, "libc.so.6") || slices.Contains(i.Needed, "libm.so.6") {
		return flagLibc6
	}
	return flagELF
}

// isaLevel is the highest level of x86 that a library needs. See
// sysdeps/unix/sysv/linux/x86/elf-read-prop.h.
func (s *scanner) isaLevel(i *elf.Info) uint32 {
	level := uint32(0)
	for need := i.ISANeeded >> 1; s.x86 && need != 0; need >>= 1 {
		level++
	}
	return level
}

// osVersion is the oldest kernel that a library runs on, as 2.31 packs it.
func (s *scanner) osVersion(i *elf.Info) uint32 {
	if s.minor >= 33 || i.ABI == nil {
		return 0
	}
	k := i.ABI.Kernel
	return i.ABI.OS<<24 | k[0]&0xff<<16 | k[1]&0xff<<8 | k[2]&0xff
}

// refuseLegacy fails on a subdirectory with libraries for some processors
// only, of the kind that glibc gave up in 2.37. Debian ships none.
func (s *scanner) refuseLegacy(d directory, name string) error {
	if s.minor >= 37 || d.hwcap != "" || !isLegacyHwcap(name) {
		return nil
	}
	sub, err := closure.Resolve(s.tree, path.Join(d.real, name))
	if err == nil && slices.ContainsFunc(s.children[sub.Path], s.isDSO) {
		return fmt.Errorf("%s: %w", sub.Path, errLegacy)
	}
	return nil
}

// isLegacyHwcap knows the names that Debian's architectures had. See
// sysdeps/*/dl-procinfo.c of glibc 2.36.
func isLegacyHwcap(name string) bool {
	switch name {
	case "tls", "haswell", "xeon_phi", "x86_64", "avx512_1", "i586", "i686", // x86
		"neon", "vfp", "vfpv3", "vfpv4", "half", // arm
		"atomics", // aarch64
		"zarch", "z900", "z990", "z9-109", "z10", "z196", "zEC12", "z13", "z14", "z15", "z16",
		"altivec", "dfp", "vsx", "power4", "power5", "power6", "power7", "power8", "power9", "power10":
		return true
	}
	return false
}
