// Package xz decompresses .xz files, and the older .lzma files, in pure Go.
// It does not compress. It knows nothing of the program around it and can be
// taken out with package hugepage, where its buffers come from.
//
// Start with [NewReader], which decodes a stream in bounded memory, blocks
// side by side where the file allows it. [Decode] is for input that is in
// memory as a whole, [NewLZMAReader] for .lzma.
//
// # What is read
//
// Everything that the .xz file format 1.1.0 defines save the RISC-V filter:
// several streams, stream padding, any number of blocks with and without
// sizes in their headers, the checks none, CRC32, CRC64 and SHA-256, LZMA2
// with every dictionary size, and the filters delta, x86, PowerPC, IA-64,
// ARM, ARM-Thumb, ARM64 and SPARC. A filter or a check that is not known is
// an error that wraps [ErrUnsupported] and names it. What xz(1) 5.4 takes as
// valid is valid, and nothing else is.
//
// # When output can be trusted
//
// A [Reader] hands bytes on before the check at the end of their block is
// known, as xz -dc does. If that check, or the index behind the last block,
// turns out wrong, Read and WriteTo return an error in place of the end. So
// only a reader that has returned [io.EOF], or a WriteTo that has returned
// nil, has delivered what was compressed. [Decode] returns nothing before all
// checks have passed.
//
// # Memory
//
// A block whose header tells both of its sizes, as multi-threaded encoders
// write them, is decoded in one piece: its compressed and its plain size.
// There are at most Workers of these at a time, or two. Any other block takes the
// size of its dictionary, half as much again or 4 MiB, and 1 MiB.
// The buffers in between add less than 4 MiB. [Options.MemLimit] bounds the
// sum: first fewer blocks are decoded side by side, then they are decoded
// with a dictionary in place of one piece, then there is an error that wraps
// [ErrMemLimit] and tells what would be needed.
//
// # Where to start reading
//
// reader.go hands out plain data, sequence.go follows the file from stream to
// stream and finds the blocks, block.go decodes one, lzma2.go splits it into
// chunks, and loop.go decodes a chunk with range.go's bits: nearly all time
// is spent there.
//
// Specifications: "The .xz File Format" 1.1.0 and "LZMA specification"
// (draft of 2015), both public domain.
package xz
