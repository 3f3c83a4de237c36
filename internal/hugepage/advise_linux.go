package hugepage

import (
	"syscall"
	"unsafe"
)

// pageSize is that of a large page on most machines; where another one is in
// use, the advice covers a little more or less than the buffer.
const pageSize = 2 << 20

// advise calls madvise(2) with MADV_HUGEPAGE on all large pages that buf has a
// part of. Those at its ends hold other objects of the Go heap too: the advice
// changes what stands behind an address, never what is read there. An error
// means that the kernel has no such pages, and leaves buf as it was.
func advise(buf []byte) {
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(buf)))
	end := (begin + uintptr(len(buf)) + pageSize - 1) &^ (pageSize - 1)
	begin &^= pageSize - 1
	syscall.Syscall(syscall.SYS_MADVISE, begin, end-begin, syscall.MADV_HUGEPAGE)
}
