// Package elf reads from an ELF file the few facts that decide whether a
// program runs in an image: what it needs, what it offers and which loader
// starts it. It reads what the kernel and glibc's ld.so read, the program
// headers and the dynamic segment, so a file without section headers is as
// good as any.
//
// It is not a general ELF library (debug/elf is): symbols, relocations and
// sections are left alone, and a file costs a few small reads however large it
// is. Start with [Inspect], which never fails for what a file holds, or
// [Parse].
package elf

import (
	"errors"
	"fmt"
)

// Info is what is remembered of an ELF file. It depends on the file's bytes
// alone and is stored as JSON beside the package's listing.
type Info struct {
	Class     int     `json:"class,omitempty"` // word size in bits: 32 or 64
	BigEndian bool    `json:"bigEndian,omitempty"`
	OSABI     uint8   `json:"osabi,omitempty"`
	Type      Type    `json:"type,omitempty"`
	Machine   Machine `json:"machine,omitempty"`
	Flags     uint32  `json:"flags,omitempty"` // e_flags, machine specific

	// Interp is the program interpreter (PT_INTERP), "" for libraries and
	// static programs.
	Interp string `json:"interp,omitempty"`
	// Dynamic says that there is a dynamic segment; without one the fields
	// down to Verdef are empty.
	Dynamic bool     `json:"dynamic,omitempty"`
	Flags1  uint32   `json:"flags1,omitempty"` // DT_FLAGS_1
	Soname  string   `json:"soname,omitempty"`
	Needed  []string `json:"needed,omitempty"` // in the file's order
	// RPath and RunPath are the directories of DT_RPATH and DT_RUNPATH as they
	// are stored, $ORIGIN and the like not expanded. An empty one means the
	// working directory.
	RPath   []string `json:"rpath,omitempty"`
	RunPath []string `json:"runpath,omitempty"`
	Verneed []Need   `json:"verneed,omitempty"`
	// Verdef lists the versions that the file defines, its own name (the
	// base version) among them. A file without symbol versions has none.
	Verdef []string `json:"verdef,omitempty"`

	ABI *ABITag `json:"abi,omitempty"`
	// ISANeeded is the bit mask of GNU_PROPERTY_X86_ISA_1_NEEDED: bit 0 is
	// the x86-64 baseline, bit 1 x86-64-v2 and so on. It is 0 elsewhere.
	ISANeeded uint32 `json:"isaNeeded,omitempty"`

	// Malformed says why the file cannot be read though it begins as an ELF
	// file does; nothing else is set then. See [Inspect].
	Malformed string `json:"malformed,omitempty"`
}

// Need is what a file needs of one library's symbol versions.
type Need struct {
	File     string    `json:"file"` // a name that Info.Needed holds too
	Versions []Version `json:"versions"`
}

// Version is a needed symbol version.
type Version struct {
	Name string `json:"name"`
	// Weak versions may be missing: ld.so goes on without.
	Weak bool `json:"weak,omitempty"`
}

// ABITag is the note that names the oldest kernel a file runs on.
type ABITag struct {
	OS     uint32    `json:"os,omitempty"` // 0 is Linux
	Kernel [3]uint32 `json:"kernel"`
}

// Type is the ELF header's e_type.
type Type uint16

// The types of files that matter to an image. A position-independent program
// is a Shared one with an interpreter, or with [FlagPIE].
const (
	Relocatable Type = 1
	Executable  Type = 2
	Shared      Type = 3
	Core        Type = 4
)

// Bits of Info.Flags1. See glibc's elf/elf.h.
const (
	FlagNoDefaultLib uint32 = 0x00000800 // DF_1_NODEFLIB: neither cache nor default directories
	FlagPIE          uint32 = 0x08000000 // DF_1_PIE: a program, not a library
)

// ErrNotELF says that a file does not begin as an ELF file does.
var ErrNotELF = errors.New("not an ELF file")

// FormatError says where an ELF file breaks the format.
type FormatError struct {
	Offset int64  // in the file, in bytes
	Fact   string // what was found there
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("read ELF file: offset %d: %s: the file is damaged or cut short", e.Offset, e.Fact)
}

// IsProgram reports whether the file can be started: it names an interpreter
// or is a static program. Libraries that can be run as well (libc.so.6) count
// as programs.
func (i *Info) IsProgram() bool {
	return i.Interp != "" || i.Type == Executable || i.Flags1&FlagPIE != 0
}
