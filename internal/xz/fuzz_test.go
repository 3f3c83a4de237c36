package xz

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"testing"

	other "github.com/mikelolasagasti/xz"

	"distroless/internal/testenv"
)

func seeds(f *testing.F) {
	for _, b := range builtFiles() {
		if len(b.data) < 1<<10 {
			f.Add(b.data)
		}
	}
	if xz, err := exec.LookPath("xz"); err == nil {
		for _, args := range [][]string{{"-C", "none"}, {"--x86", "--lzma2=lc=0,lp=2"}, {"-T2", "--block-size=50"}} {
			f.Add(run(f, xz, sample(300), append([]string{"-c"}, args...)...))
		}
	}
}

// maxFuzzed keeps a few bytes from growing into gigabytes.
const maxFuzzed = 4 << 20

// No input may crash the decoder, give other data on more cores, or be read
// otherwise than by another decoder that accepts it.
func FuzzReader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(workers int) ([]byte, error) {
			r, err := NewReader(t.Context(), bytes.NewReader(data), Options{Workers: workers, MemLimit: 32 << 20})
			if err != nil {
				return nil, err
			}
			defer r.Close()
			return io.ReadAll(io.LimitReader(r, maxFuzzed))
		}
		one, err := read(1)
		two, err2 := read(2)
		if (err == nil) != (err2 == nil) || err == nil && !bytes.Equal(one, two) {
			t.Fatalf("one worker: %d bytes, %v; two: %d bytes, %v", len(one), err, len(two), err2)
		}
		r, err2 := other.NewReader(bytes.NewReader(data), 32<<20)
		if err != nil || err2 != nil {
			return
		}
		if want, err := io.ReadAll(io.LimitReader(r, maxFuzzed)); err == nil && !bytes.Equal(one, want) {
			t.Errorf("%d bytes, another decoder has %d", len(one), len(want))
		}
	})
}

// LZMA2 data, without the checksums that would keep a fuzzer out, must be
// taken or refused as by xz, and give the same.
func FuzzLZMA2LikeXZ(f *testing.F) {
	xz := testenv.Tool(f, "xz")
	for _, b := range builtChunks() {
		h := 4 * (1 + int(b.data[streamHeaderSize]))
		f.Add(b.data[streamHeaderSize+h:])
	}
	text := sample(2000)
	for _, lzma2 := range []string{"--lzma2=dict=64KiB", "--lzma2=dict=64KiB,lc=1,lp=3,pb=0"} {
		f.Add(run(f, xz, text[1000:], "-c", "--format=raw", lzma2))
		f.Add(run(f, xz, text[:400], "-c", "--format=raw", lzma2))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cmd := exec.Command(xz, "-dc", "--format=raw", "--lzma2=dict=64KiB")
		cmd.Stdin = bytes.NewReader(data)
		want, wantErr := cmd.Output()
		got, err := decodeRaw(t.Context(), data, 64<<10)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("we say %v, xz says %v", err, wantErr)
		}
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, xz has %d", len(got), len(want))
		}
	})
}

// decodeRaw decodes LZMA2 data without a container, which must fill the input.
func decodeRaw(ctx context.Context, data []byte, dictSize uint32) ([]byte, error) {
	in := newInput(bytes.NewReader(data))
	r := startReader(ctx, in, Options{Workers: 1}, func(ctx context.Context, s *sequence) error {
		h := blockHeader{compressed: unknownSize, uncompressed: unknownSize, dictSize: dictSize}
		if _, err := s.streamBlock(ctx, h, &output{seq: s}); err != nil {
			return err
		}
		if in.want(1) == nil {
			return corrupt("more behind the end")
		}
		return nil
	})
	defer r.Close()
	return io.ReadAll(r)
}

// .lzma has hardly anything that a fuzzer could fail at early.
func FuzzLZMA(f *testing.F) {
	f.Add([]byte("\x5d\x00\x10\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x83\xff\xfb\xff\xff\xc0\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x10\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := NewLZMAReader(t.Context(), bytes.NewReader(data), Options{MemLimit: 32 << 20})
		if err != nil {
			return
		}
		defer r.Close()
		io.Copy(io.Discard, io.LimitReader(r, maxFuzzed))
	})
}
