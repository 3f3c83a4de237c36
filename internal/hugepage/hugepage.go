// Package hugepage makes large buffers that the system may back with large
// pages. A buffer that is written once costs a page fault for each of its
// pages; with pages of 2 MiB instead of 4 KiB there are 512 times fewer, and
// what reads it at random finds addresses translated. On virtual machines,
// where a fault is dear, that was a fifth of a build.
//
// Start with [Make].
package hugepage

// least is the size in bytes from which a buffer is worth the call.
const least = 1 << 20

// Make returns a buffer of n zero bytes, as make does and freed as that is.
// Where the system gives large pages to those who ask for them (Linux, with
// transparent_hugepage at "madvise"), it is asked to; elsewhere, or where it
// refuses, the buffer is an ordinary one.
func Make(n int) []byte {
	buf := make([]byte, n)
	if n >= least {
		advise(buf)
	}
	return buf
}
