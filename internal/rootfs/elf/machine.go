package elf

import "strconv"

// Machine is the ELF header's e_machine.
type Machine uint16

// The machines of Debian's architectures. See elf.h of glibc.
const (
	I386      Machine = 3
	MIPS      Machine = 8
	PPC64     Machine = 21
	S390      Machine = 22
	ARM       Machine = 40
	X8664     Machine = 62
	AArch64   Machine = 183
	RISCV     Machine = 243
	LoongArch Machine = 258
)

// armHardFloat is EF_ARM_ABI_FLOAT_HARD of Info.Flags.
const armHardFloat = 0x400

func (m Machine) String() string {
	switch m {
	case I386:
		return "i386"
	case MIPS:
		return "mips"
	case PPC64:
		return "ppc64"
	case S390:
		return "s390"
	case ARM:
		return "arm"
	case X8664:
		return "x86-64"
	case AArch64:
		return "aarch64"
	case RISCV:
		return "riscv"
	case LoongArch:
		return "loongarch"
	}
	return "machine " + strconv.Itoa(int(m))
}

// Arch is Debian's name of the architecture that the file is made for, ""
// where Debian has none. A 32-bit ARM file says which floating point it uses
// only if the linker noted it: libraries of armhf that say nothing count as
// armhf, Debian's default today.
func (i *Info) Arch() string {
	type key struct {
		m     Machine
		class int
		big   bool
	}
	switch (key{i.Machine, i.Class, i.BigEndian}) {
	case key{X8664, 64, false}:
		return "amd64"
	case key{X8664, 32, false}:
		return "x32"
	case key{I386, 32, false}:
		return "i386"
	case key{AArch64, 64, false}:
		return "arm64"
	case key{ARM, 32, false}:
		if i.Flags&armHardFloat == 0 && i.Interp == "/lib/ld-linux.so.3" {
			return "armel"
		}
		return "armhf"
	case key{S390, 64, true}:
		return "s390x"
	case key{PPC64, 64, false}:
		return "ppc64el"
	case key{PPC64, 64, true}:
		return "ppc64"
	case key{RISCV, 64, false}:
		return "riscv64"
	case key{MIPS, 64, false}:
		return "mips64el"
	case key{LoongArch, 64, false}:
		return "loong64"
	}
	return ""
}
