package xz

import (
	"bytes"
	"io"
	"testing"

	other "github.com/mikelolasagasti/xz"

	"distroless/internal/testenv"
)

// packedSample is generated data as xz packs them.
func packedSample(b *testing.B, args ...string) (packed []byte, size int64) {
	plain := sample(8 << 20)
	return run(b, testenv.Tool(b, "xz"), plain, append([]string{"-c", "-3"}, args...)...), int64(len(plain))
}

// BenchmarkReader is decoding on one core. Compare it with BenchmarkOther,
// which takes about twice as long, and see rangeCoder.bit for what a new
// compiler may break. bench/xz measures on real packages.
func BenchmarkReader(b *testing.B) {
	for name, args := range map[string][]string{"stream": {"-T1"}, "blocks": {"-T2", "--block-size=1MiB"}, "x86": {"--x86", "--lzma2=preset=3"}} {
		b.Run(name, func(b *testing.B) {
			packed, size := packedSample(b, args...)
			b.SetBytes(size)
			for b.Loop() {
				r, err := NewReader(b.Context(), bytes.NewReader(packed), Options{Workers: 1})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := r.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
}

// BenchmarkOther is another decoder on the same data.
func BenchmarkOther(b *testing.B) {
	packed, size := packedSample(b)
	b.SetBytes(size)
	for b.Loop() {
		r, err := other.NewReader(bytes.NewReader(packed), 0)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}
