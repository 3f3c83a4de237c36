package xz

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
)

// built is a file and how it is to be judged: want is nil where it is valid.
type built struct {
	name string
	data []byte
	want error
}

const hello = "hello, world"

// good is a block that is right in all respects.
func good() builtBlock {
	return builtBlock{lzma2: end(stored(hello)), plain: len(hello), check: sum32([]byte(hello))}
}

// with is a file of a good block that was changed.
func with(change func(*builtBlock)) []byte {
	b := good()
	change(&b)
	return whole(b)
}

// framed is a good block in a stream whose other parts change builds.
func framed(rest func(*file, blockSizes)) []byte {
	var f file
	f.streamHeader(0, byte(checkCRC32))
	rest(&f, f.block(good()))
	return f.Bytes()
}

func filters(p ...byte) func(*builtBlock) {
	return func(b *builtBlock) {
		b.filters = p
		for n := 0; n < len(p); n += 2 + int(p[n+1]) {
			b.count++
		}
	}
}

// emptyStream is a stream without blocks.
func emptyStream(check checkType) []byte {
	var f file
	f.streamHeader(0, byte(check))
	f.footer(f.index(), 0, byte(check))
	return f.Bytes()
}

// builtFiles are the classes of files that a decoder must tell apart, among
// them those of the public test files of XZ Utils.
func builtFiles() []built {
	one := whole(good())
	var out []built
	add := func(name string, data []byte, want error) { out = append(out, built{name, data, want}) }
	add("nothing", nil, io.ErrUnexpectedEOF)
	add("one block", one, nil)
	for _, c := range []checkType{checkNone, checkCRC32, checkCRC64, checkSHA256} {
		add("no block, check "+string('0'+rune(c)), emptyStream(c), nil)
	}
	add("unknown check", emptyStream(2), ErrUnsupported)
	sha := sha256.Sum256([]byte(hello))
	for c, sum := range map[checkType][]byte{checkNone: {}, checkCRC64: crc64Of(hello), checkSHA256: sha[:]} {
		var f file
		f.streamHeader(0, byte(c))
		b := good()
		b.check = sum
		f.footer(f.index(f.block(b)), 0, byte(c))
		add("check "+string('0'+rune(c)), f.Bytes(), nil)
	}
	add("two streams", append(bytes.Clone(one), one...), nil)
	add("padding of 4", append(bytes.Clone(one), make([]byte, 4)...), nil)
	add("padding of 3", append(bytes.Clone(one), make([]byte, 3)...), io.ErrUnexpectedEOF)
	add("padding of 5", append(bytes.Clone(one), make([]byte, 5)...), io.ErrUnexpectedEOF)
	add("padding between", bytes.Join([][]byte{one, make([]byte, 8), one}, nil), nil)
	add("padding in front", append(make([]byte, 4), one...), ErrFormat)
	add("rubbish behind", append(bytes.Clone(one), "not a stream"...), ErrFormat)
	add("short rubbish behind", append(bytes.Clone(one), "no!"...), io.ErrUnexpectedEOF)
	add("short rubbish", []byte("no!"), ErrFormat)
	out = append(out, builtFrames()...)
	out = append(out, builtHeaders()...)
	return append(out, builtChunks()...)
}

// builtFrames are files whose streams' headers, indices and footers differ.
func builtFrames() []built {
	const c = byte(checkCRC32)
	frame := func(name string, want error, rest func(*file, blockSizes)) built {
		return built{name, framed(rest), want}
	}
	reserved := func() []byte {
		var f file
		f.streamHeader(1, c)
		f.footer(f.index(f.block(good())), 1, c)
		return f.Bytes()
	}
	return []built{
		{"reserved stream flags", reserved(), ErrUnsupported},
		frame("footer of another check", ErrCorrupt, func(f *file, r blockSizes) { f.footer(f.index(r), 0, byte(checkCRC64)) }),
		frame("reserved footer flags", ErrUnsupported, func(f *file, r blockSizes) { f.footer(f.index(r), 1, c) }),
		frame("backward size", ErrCorrupt, func(f *file, r blockSizes) { f.footer(f.index(r)+4, 0, c) }),
		frame("footer magic", ErrCorrupt, func(f *file, r blockSizes) { f.footer(f.index(r), 0, c); f.Bytes()[f.Len()-1]++ }),
		frame("index lacks a block", ErrCorrupt, func(f *file, r blockSizes) { f.footer(f.index(), 0, c) }),
		frame("index has a block too many", ErrCorrupt, func(f *file, r blockSizes) { f.footer(f.index(r, r), 0, c) }),
		frame("index of a huge count", ErrCorrupt, func(f *file, r blockSizes) { f.footer(f.rawIndex(1<<62, 0, r), 0, c) }),
		frame("index with another plain size", ErrCorrupt, func(f *file, r blockSizes) { r.plain++; f.footer(f.index(r), 0, c) }),
		frame("index with another unpadded size", ErrCorrupt, func(f *file, r blockSizes) { r.unpadded--; f.footer(f.index(r), 0, c) }),
		frame("index padding", ErrCorrupt, func(f *file, r blockSizes) { r.plain += 1 << 8; f.footer(f.rawIndex(1, 1, r), 0, c) }),
		frame("index ends early", io.ErrUnexpectedEOF, func(f *file, r blockSizes) { f.Write([]byte{0, 1}) }),
		frame("no footer", io.ErrUnexpectedEOF, func(f *file, r blockSizes) { f.index(r) }),
	}
}

// builtHeaders are files whose blocks' headers differ.
func builtHeaders() []built {
	n, packed := uint64(len(hello)), uint64(len(good().lzma2))
	sizes := func(flags byte, v ...uint64) []byte {
		return with(func(b *builtBlock) { b.flags, b.sizes = flags, v })
	}
	return []built{
		{"both sizes", sizes(0xc0, packed, n), nil},
		{"compressed size", sizes(0x40, packed), nil},
		{"plain size", sizes(0x80, n), nil},
		{"both sizes, compressed too small", sizes(0xc0, packed-1, n), ErrCorrupt},
		{"both sizes, compressed too large", sizes(0xc0, packed+4, n), ErrCorrupt},
		{"both sizes, plain too small", sizes(0xc0, packed, n-1), ErrCorrupt},
		{"both sizes, plain too large", sizes(0xc0, packed, n+1), ErrCorrupt},
		{"compressed size too small", sizes(0x40, packed-1), ErrCorrupt},
		{"compressed size too large", sizes(0x40, packed+1), ErrCorrupt},
		{"plain size too small", sizes(0x80, n-1), ErrCorrupt},
		{"plain size too large", sizes(0x80, n+1), ErrCorrupt},
		{"compressed size zero", sizes(0x40, 0), ErrCorrupt},
		{"compressed size huge", sizes(0x40, 1<<63-1), ErrCorrupt},
		{"plain size huge", sizes(0x80, 1<<63-1), ErrCorrupt},
		{"reserved block flags", sizes(0x04), ErrUnsupported},
		{"header fields to come", with(func(b *builtBlock) { b.extra = []byte{0, 1} }), ErrUnsupported},
		{"long header padding", with(func(b *builtBlock) { b.extra = make([]byte, 200) }), nil},
		{"long number", with(func(b *builtBlock) { filters(0xa1, 0, 1, 0)(b); b.count = 1 }), ErrCorrupt},
		{"header ends in a number", with(func(b *builtBlock) { b.filters, b.count = []byte{0xff, 0xff}, 1 }), ErrCorrupt},
		{"header CRC32", with(func(b *builtBlock) { b.header = func(h []byte) { h[1] |= 0x10 } }), ErrUnsupported},
		{"block padding", with(func(b *builtBlock) { b.padding = 1; b.lzma2 = end(stored(hello[:11])); b.plain = 11 }), ErrCorrupt},
		{"block check", with(func(b *builtBlock) { b.check = sum32(nil) }), ErrCorrupt},
		{"dictionary of 4 GiB", with(filters(filterLZMA2, 1, 40)), ErrMemLimit},
		{"dictionary of 4 GiB for a few bytes", with(func(b *builtBlock) {
			filters(filterLZMA2, 1, 40)(b)
			b.flags, b.sizes = 0x80, []uint64{n}
		}), nil},
		{"dictionary too large", with(filters(filterLZMA2, 1, 41)), ErrUnsupported},
		{"LZMA2 without properties", with(filters(filterLZMA2, 0)), ErrUnsupported},
		{"LZMA2 twice", with(filters(filterLZMA2, 1, 0, filterLZMA2, 1, 0)), ErrUnsupported},
		{"x86 alone", with(filters(filterX86, 0)), ErrUnsupported},
		{"x86", with(filters(filterX86, 0, filterLZMA2, 1, 0)), nil},
		{"x86 from an odd start", with(filters(filterX86, 4, 1, 2, 3, 4, filterLZMA2, 1, 0)), nil},
		{"x86 with 3 bytes of properties", with(filters(filterX86, 3, 1, 2, 3, filterLZMA2, 1, 0)), ErrUnsupported},
		{"ARM from an odd start", with(filters(filterARM, 4, 1, 0, 0, 0, filterLZMA2, 1, 0)), ErrUnsupported},
		{"four filters", with(filters(filterX86, 0, filterARM, 0, filterSPARC, 0, filterLZMA2, 1, 0)), nil},
		{"delta without properties", with(filters(filterDelta, 0, filterLZMA2, 1, 0)), ErrUnsupported},
		{"delta last", with(filters(filterLZMA2, 1, 0, filterDelta, 1, 0)), ErrUnsupported},
		{"unknown filter", with(filters(0x7f, 0, filterLZMA2, 1, 0)), ErrUnsupported},
		{"RISC-V", with(filters(filterRISCV, 0, filterLZMA2, 1, 0)), ErrUnsupported},
		{"filter reaches past the header", with(func(b *builtBlock) { filters(filterLZMA2, 1, 0)(b); b.filters[1] = 90 }), ErrCorrupt},
	}
}

// builtChunks are files whose LZMA2 chunks differ.
func builtChunks() []built {
	text, none := hello, end()
	lzma := func(control byte, rest ...byte) []byte { return append([]byte{control, 0, 0, 0, 5}, rest...) }
	// Nine bits of zero, one that says literal and its eight, halve the range
	// often enough for a sixth byte to be read.
	code := []byte{0, 0, 0, 0, 0, 0}
	zero := func(name string, data []byte, plain string, want error) built {
		return built{name, with(func(b *builtBlock) { b.lzma2, b.plain, b.check = data, len(plain), sum32([]byte(plain)) }), want}
	}
	return []built{
		zero("no chunk", none, "", nil),
		zero("no end", stored(text), text, ErrCorrupt),
		zero("two chunks", end(stored(text[:5]), chunkOf(2, text[5:])), text, nil),
		zero("two dictionaries", end(stored(text[:5]), stored(text[5:])), text, nil),
		zero("no dictionary", end(chunkOf(2, text)), text, ErrCorrupt),
		zero("control 3", end(chunkOf(3, text)), text, ErrCorrupt),
		zero("control 7f", end(chunkOf(0x7f, text)), text, ErrCorrupt),
		zero("LZMA byte", end(append(lzma(0xe0, 0), code...)), "\x00", nil),
		zero("LZMA byte behind stored ones", end(stored("x"), append(lzma(0xc0, 0), code...)), "x\x00", nil),
		zero("LZMA without properties", end(stored("x"), append(lzma(0x80), code...)), "x\x00", ErrCorrupt),
		zero("LZMA reset without properties", end(stored("x"), append(lzma(0xa0), code...)), "x\x00", ErrCorrupt),
		zero("LZMA without dictionary", end(append(lzma(0xc0, 0), code...)), "\x00", ErrCorrupt),
		zero("LZMA goes on", end(append(lzma(0xe0, 0), code...), append(lzma(0x80), code...)), "\x00\x00", nil),
		zero("LZMA reset", end(append(lzma(0xe0, 0), code...), append(lzma(0xa0), code...)), "\x00\x00", nil),
		zero("stored between", end(append(lzma(0xe0, 0), code...), chunkOf(2, "y"), append(lzma(0x80), code...)), "\x00y\x00", nil),
		zero("a new dictionary needs properties", end(append(lzma(0xe0, 0), code...), stored("y"), append(lzma(0x80), code...)), "\x00y\x00", ErrCorrupt),
		zero("lc and lp of 5", end(append(lzma(0xe0, 4+9), code...)), "\x00", ErrCorrupt),
		zero("lc and lp of 4", end(append(lzma(0xe0, 3+9), code...)), "\x00", nil),
		zero("properties byte", end(append(lzma(0xe0, 225), code...)), "\x00", ErrCorrupt),
		zero("range coder's first byte", end(append(lzma(0xe0, 0), 1, 0, 0, 0, 0, 0)), "\x00", ErrCorrupt),
		zero("range coder's end", end(append(lzma(0xe0, 0), 0, 0, 0, 0, 0, 1)), "\x00", ErrCorrupt),
		zero("LZMA of 4 bytes", end(append([]byte{0xe0, 0, 0, 0, 3, 0}, code[:4]...)), "\x00", ErrCorrupt),
		zero("LZMA of 5 bytes", end(append([]byte{0xe0, 0, 0, 0, 4, 0}, code[:5]...)), "\x00", ErrCorrupt),
		zero("LZMA of 7 bytes", end(append([]byte{0xe0, 0, 0, 0, 6, 0}, append(code, 0)...)), "\x00", ErrCorrupt),
		zero("match before anything", end(append(lzma(0xe0, 0), 0, 0xff, 0xff, 0xff, 0xfe, 0)), "\x00", ErrCorrupt),
		zero("code beyond the range", end(append(lzma(0xe0, 0), 0, 0xff, 0xff, 0xff, 0xff, 0)), "\x00", ErrCorrupt),
	}
}

// Every way in which a file can be wrong must be refused, with an error that
// says what is wrong and where; every odd but valid one must be read.
func TestBuiltFiles(t *testing.T) {
	for _, f := range builtFiles() {
		for workers := 1; workers <= 2; workers++ {
			_, err := Decode(context.Background(), nil, f.data, Options{Workers: workers})
			if !errors.Is(err, f.want) || (err == nil) != (f.want == nil) {
				t.Errorf("%s: got %v, want %v", f.name, err, f.want)
			}
			if placed := (*Error)(nil); err != nil && (!errors.As(err, &placed) || placed.Offset < 0 || placed.Offset > int64(len(f.data))) {
				t.Errorf("%s: the error does not say where: %#v", f.name, err)
			}
		}
	}
}

// An error names the place, the part and the reason.
func TestErrorText(t *testing.T) {
	for name, want := range map[string]string{
		"unknown filter": "xz: read block header at byte 12: not supported: filter 0x7f",
		"RISC-V":         "xz: read block header at byte 12: not supported: filter RISC-V (0xb)",
		"unknown check":  "xz: read stream header at byte 0: not supported: check of type 2",
		"short rubbish":  "xz: read stream header at byte 0: not in the expected format",
		"control 3":      "xz: read LZMA2 chunk at byte 24: corrupt: LZMA2 control byte 03",
		"block check":    "xz: read block check at byte 40: corrupt: it is 00000000, the decoded data have",
		"no footer":      "xz: read stream footer at byte 52: unexpected EOF",
		"dictionary of 4 GiB": "xz: read block at byte 12: memory limit: 4298113055 bytes are needed, at most 268435456 are allowed: " +
			"raise it to decode this file",
	} {
		for _, f := range builtFiles() {
			if f.name != name {
				continue
			}
			if _, err := Decode(context.Background(), nil, f.data, Options{}); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s:\n got %v\nwant %s", name, err, want)
			}
		}
	}
}
