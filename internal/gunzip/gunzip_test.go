package gunzip

import (
	"bytes"
	"compress/flate"
	stdgzip "compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
)

// samples are data of many kinds: what nothing can be found in, what is all the
// same, short and long distances, texts.
func samples() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	few := noise(300_000)
	for i := range few {
		few[i] = "aaaaaaaabbbbcd\n"[few[i]%15]
	}
	skewed := make([]byte, 400_000) // codes of many lengths
	for i := range skewed {
		skewed[i] = byte(r.ExpFloat64() * 12)
	}
	var text, far, periods bytes.Buffer
	for i := range 20_000 {
		fmt.Fprintf(&text, "usr/share/doc/package-%d/copyright %x\n", i%700, r.Uint32N(1<<12))
	}
	once := noise(32 << 10)
	for range 5 {
		far.Write(once) // at the largest distance there is
		far.WriteByte('x')
		far.Write(once[:32<<10-1])
	}
	for d := 1; d < 40; d++ {
		periods.Write(bytes.Repeat(noise(d), 600/d))
		periods.Write(noise(3))
	}
	return map[string][]byte{
		"nothing": {}, "one byte": {'x'}, "noise": noise(200_000), "zeros": make([]byte, 700_000),
		"few": few, "skewed": skewed, "text": text.Bytes(), "far": far.Bytes(), "periods": periods.Bytes(),
	}
}

// forms compresses data in each way that there is.
func forms(t testing.TB, data []byte) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	add := func(name string, open func(w io.Writer) (io.WriteCloser, error)) {
		var b bytes.Buffer
		w, err := open(&b)
		if err != nil {
			t.Fatal(err)
		}
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 50_000)
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
			if f, ok := w.(interface{ Flush() error }); ok && strings.HasSuffix(name, "flushed") {
				if err := f.Flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		out[name] = b.Bytes()
	}
	for level := -2; level <= 9; level++ {
		add(fmt.Sprint("library ", level), func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, level) })
		add(fmt.Sprint("standard ", level), func(w io.Writer) (io.WriteCloser, error) { return stdgzip.NewWriterLevel(w, level) })
	}
	add("flushed", func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, 6) })
	return out
}

func decompress(r io.Reader) ([]byte, error) {
	z, err := NewReader(r)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// TestForms decompresses what two compressors write at all levels. If it fails,
// layers, packages and lists of files are read wrong.
func TestForms(t *testing.T) {
	for name, data := range samples() {
		for form, packed := range forms(t, data) {
			got, err := decompress(bytes.NewReader(packed))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s, %s: %d bytes of %d, %v", name, form, len(got), len(data), err)
			}
		}
	}
}

// TestSources reads from sources that give little at a time, or fail. If it
// fails, what comes over a network is read wrong.
func TestSources(t *testing.T) {
	for name, data := range samples() {
		data = data[:min(len(data), 60_000)]
		packed := forms(t, data)["library 6"]
		for how, r := range map[string]io.Reader{
			"one byte": iotest.OneByteReader(bytes.NewReader(packed)), "half": iotest.HalfReader(bytes.NewReader(packed)),
			"data and end": iotest.DataErrReader(bytes.NewReader(packed)),
			"one and end":  iotest.DataErrReader(iotest.OneByteReader(bytes.NewReader(packed))),
		} {
			got, err := decompress(r)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s, %s: %d bytes of %d, %v", name, how, len(got), len(data), err)
			}
		}
		z, err := NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(z, data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		broken := errors.New("the line is dead")
		_, err = decompress(io.MultiReader(bytes.NewReader(packed[:len(packed)/2]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("%s: a source that fails: %v", name, err)
		}
		if _, err = decompress(io.MultiReader(bytes.NewReader(packed[:len(packed)/2]), idle{})); !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("%s: a source that gives nothing: %v", name, err)
		}
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// member is a gzip member with every part of a header that there can be.
func member(t testing.TB, flags byte, data []byte) []byte {
	t.Helper()
	h := []byte{0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 3}
	if flags&4 != 0 {
		h = append(h, 0xd0, 0x07)
		h = append(h, bytes.Repeat([]byte("x"), 2000)...)
	}
	if flags&8 != 0 {
		h = append(h, "a name\x00"...)
	}
	if flags&16 != 0 {
		h = append(h, "a comment\x00"...)
	}
	if flags&2 != 0 {
		h = binary.LittleEndian.AppendUint16(h, uint16(crc32.ChecksumIEEE(h)))
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 9)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return trailed(append(h, b.Bytes()...), data)
}

func trailed(file, data []byte) []byte {
	file = binary.LittleEndian.AppendUint32(file, crc32.ChecksumIEEE(data))
	return binary.LittleEndian.AppendUint32(file, uint32(len(data)))
}

// TestMembers reads files of several members with headers of all kinds. If it
// fails, files that other tools have put together are refused or cut.
func TestMembers(t *testing.T) {
	var file, want []byte
	for flags := range byte(32) {
		data := bytes.Repeat([]byte{flags, 'a'}, 20_000)
		file, want = append(file, member(t, flags, data)...), append(want, data...)
	}
	got, err := decompress(bytes.NewReader(file))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
	one := member(t, 0, []byte("one"))
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":                   {nil, "unexpected EOF"},
		"not gzip":                {[]byte("PK\x03\x04 and more of it"), "not gzip"},
		"another method":          {append([]byte{0x1f, 0x8b, 7}, one[3:]...), "not gzip"},
		"flags":                   {append([]byte{0x1f, 0x8b, 8, 0x20}, one[4:]...), "flags 0x20 are not known"},
		"header":                  {append([]byte{0x1f, 0x8b, 8, 2, 0, 0, 0, 0, 0, 0, 1, 1}, one[10:]...), "gzip: header: its checksum is another"},
		"more behind":             {append(bytes.Clone(one), "more than ten bytes"...), "not gzip"},
		"little behind":           {append(bytes.Clone(one), 0x1f), "unexpected EOF"},
		"checksum":                {append(bytes.Clone(one[:len(one)-8]), append([]byte{1}, one[len(one)-7:]...)...), "the checksum or the length is another"},
		"length":                  {append(bytes.Clone(one[:len(one)-1]), 1), "gzip: after 3 bytes: the checksum or the length is another"},
		"match of another":        {append(bytes.Clone(one), trailed(append(bytes.Clone(one[:10]), 3, 2, 0, 0), nil)...), "a match that begins before the data"},
		"stored length":           {append(bytes.Clone(one[:10]), 1, 1, 0, 1, 0), "the length of a stored block is damaged"},
		"kind":                    {append(bytes.Clone(one[:10]), 7, 0, 0), "a block of a kind that is not known"},
		"too many codes":          {append(bytes.Clone(one[:10]), 0xfd, 0x1f, 0, 0), "more than the 286 and 30"},
		"a repetition of nothing": {append(bytes.Clone(one[:10]), lengths(16)...), "the first length of a code repeats the one before"},
		"too many lengths":        {append(bytes.Clone(one[:10]), lengths(18, 18, 18)...), "more lengths of codes than codes"},
		"no codes":                {append(bytes.Clone(one[:10]), lengths()...), "a code that stands for nothing"},
		"codes too few":           {append(bytes.Clone(one[:10]), lengths(2, 2)...), "fewer codes than there must be"},
		"codes too many":          {append(bytes.Clone(one[:10]), lengths(1, 1, 1)...), "more codes than there can be"},
	} {
		got, err := decompress(bytes.NewReader(c.file))
		if err == nil {
			t.Errorf("%s: no error, %d bytes", name, len(got))
			continue
		}
		ok := false
		for _, w := range strings.Split(c.want, "|") {
			ok = ok || strings.Contains(err.Error(), w)
		}
		if !ok {
			t.Errorf("%s: the error is %q, want %q", name, err, c.want)
		}
	}
}

// TestReset reads one file after another with one reader, whole, in part, and
// damaged ones. If it fails, what one image holds shows in another.
func TestReset(t *testing.T) {
	var z Reader
	data := samples()
	r := rand.New(rand.NewPCG(5, 6))
	for range 3 {
		for name, want := range data {
			packed := forms(t, want[:min(len(want), 80_000)])["library 6"]
			if r.IntN(3) == 0 {
				if z.Reset(bytes.NewReader(packed[:len(packed)/2])) == nil {
					_, _ = io.CopyN(io.Discard, &z, r.Int64N(20_000)) // whatever comes of it
				}
				if err := z.Reset(strings.NewReader("something else")); err == nil {
					t.Error("no error for what is no gzip file")
				} else if _, again := z.Read(make([]byte, 1)); again != err {
					t.Errorf("reading on after an error: %v", again)
				}
			}
			if err := z.Reset(bytes.NewReader(packed)); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(&z); err != nil || !bytes.Equal(got, want[:min(len(want), 80_000)]) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
	}
}

// lengths is a block whose lengths of codes are written with these symbols, each
// with its greatest repetition, and none for the rest of the 258 that are wanted.
func lengths(symbols ...int) []byte {
	w := new(bitWriter)
	w.write(1|2<<1, 3)
	w.write(0, 5)
	w.write(0, 5)
	w.write(15, 4)
	sizes := bytes.Repeat([]byte{4}, lengthCodes)
	copy(sizes[3:], []byte{5, 5, 5, 5, 5, 5})
	for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15} {
		w.write(uint32(sizes[symbol]), 3)
	}
	codes := codesOf(sizes)
	left := 258
	write := func(symbol, n int) {
		w.write(codes[symbol], int(sizes[symbol]))
		switch symbol {
		case 16:
			w.write(uint32(n-3), 2)
		case 18:
			w.write(uint32(n-11), 7)
		}
		left -= n
	}
	for _, s := range symbols {
		write(s, map[int]int{16: 6, 18: 138}[s]+1-min(1, s/16))
	}
	for left > 138 {
		write(18, 100)
	}
	for left >= 11 {
		write(18, left)
	}
	for left > 0 {
		write(0, 1)
	}
	w.write(0, 32)
	return w.bytes
}

// TestDamage changes every byte of a file, and cuts it at each, and holds the
// verdict against that of the standard library. If it fails, damage passes, or
// what is sound is refused.
func TestDamage(t *testing.T) {
	data := samples()["text"][:700]
	for _, form := range []string{"library 9", "standard 1", "library -2", "standard 0"} {
		packed := forms(t, data)[form]
		for i := range packed {
			for _, change := range []byte{1, 0x80, 0xff} {
				bad := bytes.Clone(packed)
				bad[i] ^= change
				sameVerdict(t, bad)
			}
			_, err := decompress(bytes.NewReader(packed[:i]))
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s cut at %d: %v", form, i, err)
			}
		}
	}
}

// sameVerdict decompresses with this and with the standard library. Both give the
// same bytes, or both an error.
func sameVerdict(t testing.TB, file []byte) {
	t.Helper()
	want, wantErr := []byte(nil), error(nil)
	if z, err := stdgzip.NewReader(bytes.NewReader(file)); err != nil {
		wantErr = err
	} else {
		want, wantErr = io.ReadAll(z)
	}
	got, err := decompress(bytes.NewReader(file))
	if err != nil && strings.Contains(err.Error(), "are not known") {
		return // RFC 1952 wants reserved flags refused, the standard library does not look
	}
	if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
		t.Errorf("%d bytes and %v, the standard library has %d and %v\n%x", len(got), err, len(want), wantErr, file[:min(len(file), 200)])
	}
}

// TestShapes decompresses blocks that were made at random: trees of all shapes,
// most of them not ones that there may be. If it fails, a file that a compressor of
// another kind has written is read wrong.
func TestShapes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	good, bad := 0, 0
	for range 1500 {
		w := new(bitWriter)
		size := 0
		for range r.IntN(3) {
			size = randomBlock(r, w, 0, size)
		}
		randomBlock(r, w, 1, size)
		if shape(t, w.bytes) {
			good++
		} else {
			bad++
		}
	}
	if good < 200 || bad < 200 {
		t.Errorf("%d of the files were good ones, %d were not: the test wants both", good, bad)
	}
}

// shape decompresses raw DEFLATE data with the standard library, and with this as
// a gzip file. It reports whether the data were good.
func shape(t testing.TB, data []byte) bool {
	t.Helper()
	source := bytes.NewReader(data)
	z := flate.NewReader(source)
	want, wantErr := io.ReadAll(io.LimitReader(z, 8<<20))
	used := len(data) - source.Len()
	head := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0}
	file := append(head, data...)
	if wantErr == nil {
		file = trailed(append(bytes.Clone(head), data[:used]...), want)
	}
	got, err := decompress(bytes.NewReader(file))
	if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
		t.Errorf("%d bytes and %v, the standard library has %d and %v\n%x", len(got), err, len(want), wantErr, data[:min(len(data), 400)])
	}
	return wantErr == nil
}

type bitWriter struct {
	bytes []byte
	n     int
}

func (w *bitWriter) write(v uint32, n int) {
	for i := range n {
		if w.n%8 == 0 {
			w.bytes = append(w.bytes, 0)
		}
		w.bytes[w.n/8] |= byte(v>>i&1) << (w.n % 8)
		w.n++
	}
}

// randomTree gives lengths to some of n symbols, by splitting a tree at random.
func randomTree(r *rand.Rand, n, deepest int) []uint8 {
	sizes := make([]uint8, n)
	leaves := []uint8{0}
	for range r.IntN(n) {
		i := r.IntN(len(leaves))
		if r.IntN(3) == 0 {
			i = len(leaves) - 1 // deep ones too
		}
		if int(leaves[i]) < deepest {
			leaves[i]++
			leaves = append(leaves, leaves[i])
		}
	}
	if len(leaves) > n {
		leaves = leaves[:n]
	}
	for i, at := range r.Perm(n)[:len(leaves)] {
		sizes[at] = leaves[i]
	}
	if len(leaves) == 1 {
		sizes[r.IntN(n)] = 1
	}
	if r.IntN(20) == 0 {
		sizes[r.IntN(n)] = uint8(r.IntN(deepest + 1)) // one that does not fit, perhaps
	}
	return sizes
}

// codesOf assigns codes as RFC 1951 does, written as they are in a file.
func codesOf(sizes []uint8) []uint32 {
	out := make([]uint32, len(sizes))
	code := uint32(0)
	for n := uint8(1); n < 16; n++ {
		for i, size := range sizes {
			if size != n {
				continue
			}
			for b := range n {
				out[i] |= code >> b & 1 << (n - 1 - b)
			}
			code++
		}
		code <<= 1
	}
	return out
}

// randomBlock writes a block with codes of its own, behind size bytes. It returns
// how many bytes there are with it.
func randomBlock(r *rand.Rand, w *bitWriter, last uint32, size int) int {
	literals, distances := 257+r.IntN(30), 1+r.IntN(30)
	if r.IntN(10) == 0 {
		literals, distances = 257+r.IntN(32), 1+r.IntN(32)
	}
	w.write(last|2<<1, 3)
	w.write(uint32(literals-257), 5)
	w.write(uint32(distances-1), 5)
	w.write(15, 4)
	// The lengths of codes have codes that are complete: 13 of four bits, 6 of five.
	lengths := bytes.Repeat([]uint8{4}, lengthCodes)
	for _, i := range r.Perm(lengthCodes)[:6] {
		lengths[i] = 5
	}
	for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15} {
		w.write(uint32(lengths[symbol]), 3)
	}
	codes := codesOf(lengths)
	lit, dist := randomTree(r, literals, 15), randomTree(r, distances, 15)
	if lit[endOfBlock] == 0 { // give it the code of another
		for i, n := range lit {
			if n > 0 {
				lit[i], lit[endOfBlock] = 0, n
				break
			}
		}
	}
	for _, n := range append(bytes.Clone(lit), dist...) {
		w.write(codes[n], int(lengths[n]))
	}
	litCodes, distCodes := codesOf(lit), codesOf(dist)
	for range r.IntN(4000) {
		s := r.IntN(literals)
		if s == endOfBlock || lit[s] == 0 {
			continue
		}
		if s > endOfBlock && r.IntN(3) > 0 {
			continue
		}
		w.write(litCodes[s], int(lit[s]))
		if s < endOfBlock {
			size++
			continue
		}
		extra := r.Uint32() & (1<<(literal(s)&63) - 1)
		w.write(extra, int(literal(s)&63))
		size += int(literal(s)>>16) + int(extra)
		for range 200 {
			d := r.IntN(distances)
			if d >= 30 || dist[d] == 0 || int(distance(d)>>16)<<1 > size && r.IntN(3000) > 0 {
				continue
			}
			w.write(distCodes[d], int(dist[d]))
			w.write(r.Uint32()&(1<<(distance(d)&63)-1), int(distance(d)&63))
			break
		}
	}
	w.write(litCodes[endOfBlock], int(lit[endOfBlock]))
	return size
}

// FuzzReader holds whatever it is given against the standard library.
func FuzzReader(f *testing.F) {
	for _, name := range []string{"text", "skewed", "periods"} {
		all := forms(f, samples()[name][:400])
		for _, form := range []string{"library -2", "library 0", "library 1", "standard 9", "flushed"} {
			f.Add(all[form])
		}
	}
	f.Add(member(f, 0x1f, []byte("some data, some data")))
	f.Fuzz(func(t *testing.T, file []byte) {
		sameVerdict(t, file)
		if len(file) > 10 {
			shape(t, file[10:])
		}
	})
}
