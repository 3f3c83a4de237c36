package xz

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// storedFile is a file of n blocks of 64 KiB each, stored and with sizes in
// their headers: tests of the reader need no encoder for it.
func storedFile(n int) (packed, plain []byte) {
	var f file
	f.streamHeader(0, byte(checkCRC32))
	var records []blockSizes
	for i := range n {
		text := strings.Repeat(string(rune('a'+i%26)), 1<<16)
		b := builtBlock{lzma2: end(stored(text)), plain: len(text), flags: 0xc0, check: sum32([]byte(text))}
		b.sizes = []uint64{uint64(len(b.lzma2)), uint64(b.plain)}
		records = append(records, f.block(b))
		plain = append(plain, text...)
	}
	f.footer(f.index(records...), 0, byte(checkCRC32))
	return f.Bytes(), plain
}

// However the input trickles in and the output is taken, blocks come in order.
func TestReadersAndWriters(t *testing.T) {
	packed, plain := storedFile(40)
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(packed), "halves": iotest.HalfReader(bytes.NewReader(packed)),
		"bytes": iotest.OneByteReader(bytes.NewReader(packed)), "data with the end": iotest.DataErrReader(bytes.NewReader(packed)),
	} {
		for _, o := range []Options{{}, {Workers: 1}, {Workers: 3}, {Workers: 8, MemLimit: 4 << 20}} {
			x, err := NewReader(t.Context(), r, o)
			if err != nil {
				t.Fatal(name, err)
			}
			head := make([]byte, 1000)
			if _, err := io.ReadFull(x, head); err != nil {
				t.Fatal(name, err)
			}
			rest := bytes.NewBuffer(head)
			if n, err := x.WriteTo(rest); err != nil || n != int64(len(plain)-len(head)) || !bytes.Equal(rest.Bytes(), plain) {
				t.Errorf("%s, %+v: wrote %d bytes, %v, want %d", name, o, n, err, len(plain)-len(head))
			}
			if n, err := x.Read(head); n != 0 || err != io.EOF {
				t.Errorf("%s, %+v: behind the end: %d, %v", name, o, n, err)
			}
			x.Close()
			r = bytes.NewReader(packed)
		}
	}
}

// A truncated download must not pass for a whole file.
func TestTruncated(t *testing.T) {
	packed, _ := storedFile(2)
	for n := 0; n < len(packed); n += 1 + n/50 {
		_, err := Decode(t.Context(), nil, packed[:n], Options{})
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("truncated to %d bytes: %v", n, err)
		}
	}
}

// What goes wrong below or above the reader must reach its user as it is.
func TestForeignErrors(t *testing.T) {
	packed, _ := storedFile(20)
	broken := errors.New("the line is dead")
	x, err := NewReader(t.Context(), io.MultiReader(bytes.NewReader(packed[:100_000]), iotest.ErrReader(broken)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, x); !errors.Is(err, broken) {
		t.Errorf("input fails: got %v", err)
	}
	x.Close()
	if x, err = NewReader(t.Context(), bytes.NewReader(packed), Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := x.WriteTo(failingWriter{broken}); err != broken {
		t.Errorf("output fails: got %v", err)
	}
	x.Close()
	if _, err := NewReader(t.Context(), iotest.ErrReader(broken), Options{}); !errors.Is(err, broken) {
		t.Errorf("input fails at once: got %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write(p []byte) (int, error) { return 0, w.err }

// A build that is cancelled, or that stops reading, must leave no goroutine
// behind, wherever it was.
func TestCancelAndClose(t *testing.T) {
	packed, _ := storedFile(60)
	before := runtime.NumGoroutine()
	for i := range 60 {
		ctx, cancel := context.WithCancel(t.Context())
		x, err := NewReader(ctx, bytes.NewReader(packed), Options{Workers: 1 + i%4, MemLimit: 4 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, x, int64(i)*50_000); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			cancel()
			if _, err := io.Copy(io.Discard, x); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("after a cancel: %v", err)
			}
		}
		x.Close()
		if _, err := x.Read(make([]byte, 1)); err == nil {
			t.Error("a closed reader reads on")
		}
		cancel()
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// Reads that come after Close say so.
func TestClosed(t *testing.T) {
	packed, _ := storedFile(60)
	x, err := NewReader(t.Context(), bytes.NewReader(packed), Options{})
	if err != nil {
		t.Fatal(err)
	}
	x.Close()
	if _, err := io.Copy(io.Discard, x); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// dictFile is a file of one stream whose blocks hold n chunks of 64 KiB each,
// with a dictionary as b encodes it, and with sizes in their headers if sized.
func dictFile(b byte, sized bool, chunks ...int) (packed, plain []byte) {
	var f file
	f.streamHeader(0, byte(checkCRC32))
	var records []blockSizes
	for _, n := range chunks {
		var parts [][]byte
		text := strings.Repeat("0123456789abcdef", 1<<12)
		for i := range n {
			parts = append(parts, chunkOf(byte(1+min(i, 1)), text))
		}
		whole := strings.Repeat(text, n)
		block := builtBlock{lzma2: end(parts...), plain: len(whole), check: sum32([]byte(whole)), count: 1}
		block.filters = []byte{filterLZMA2, 1, b}
		if sized {
			block.flags, block.sizes = 0xc0, []uint64{uint64(len(block.lzma2)), uint64(block.plain)}
		}
		records = append(records, f.block(block))
		plain = append(plain, whole...)
	}
	f.footer(f.index(records...), 0, byte(checkCRC32))
	return f.Bytes(), plain
}

// The memory limit is kept, or said to be too small.
func TestMemLimit(t *testing.T) {
	const dict256K, dict8M = 12, 22
	for _, c := range []struct {
		dict   byte
		sized  bool
		chunks []int
		limit  int64
		want   error
	}{
		{dict256K, false, []int{100}, 4 << 20, nil},
		{dict256K, false, []int{100}, 3 << 20, ErrMemLimit},
		{dict8M, false, []int{400}, 16 << 20, nil},
		{dict8M, false, []int{400}, 12 << 20, nil},
		{dict8M, false, []int{400}, 10 << 20, ErrMemLimit},
		{dict8M, true, []int{64, 64, 64, 64, 10}, 64 << 20, nil},
		{dict8M, true, []int{64, 64, 64, 64, 10}, 17 << 20, nil},
		{dict8M, true, []int{64, 64, 64, 64, 10}, 8 << 20, nil},
		{dict8M, true, []int{400}, 12 << 20, nil},
		{dict8M, true, []int{400}, 10 << 20, ErrMemLimit},
		{dict8M, true, []int{8, 40, 16, 400, 1}, 20 << 20, nil},
	} {
		packed, plain := dictFile(c.dict, c.sized, c.chunks...)
		x, err := NewReader(t.Context(), bytes.NewReader(packed), Options{Workers: 2, MemLimit: c.limit})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		_, err = x.WriteTo(&out)
		if !errors.Is(err, c.want) || err == nil && !bytes.Equal(out.Bytes(), plain) {
			t.Errorf("%+v: %v", c, err)
		}
		x.Close()
		if held := x.seq.mem.held; held > c.limit {
			t.Errorf("%+v: %d bytes held", c, held)
		}
	}
}
