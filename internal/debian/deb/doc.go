// Package deb reads a Debian binary package, a .deb, as it streams: the
// control member whole, then the entries of the data member one by one, then
// the rest of the file, so that a caller who hashes what it feeds to [Open]
// has hashed every byte once [Reader.Next] returns io.EOF.
//
// The format is deb(5): an ar archive of debian-binary, control.tar and
// data.tar, the two of them plain or compressed with gzip, xz, zstd, bzip2 or
// lzma. Everything in it is treated as hostile: what a well-made package
// never holds (see [Reader.Next]) is refused with an [Error] that names the
// file, the member and the path, and sizes are bounded by [Options].
//
// It is not for writing packages, nor for deciding what goes into an image:
// it changes no path and no mode, runs nothing and touches no file system.
//
// Start reading at [Open] (open.go); ar.go has the container, control.go the
// control member, data.go the data member and paths.go what a path may be.
package deb
