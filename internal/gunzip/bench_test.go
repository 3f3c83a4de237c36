package gunzip

import (
	"bytes"
	stdgzip "compress/gzip"
	"io"
	"os"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// BenchmarkLayer decompresses the file that DISTROLESS_GZIP names, a layer say, with
// this, the library that writes them, and the standard one.
func BenchmarkLayer(b *testing.B) {
	name := os.Getenv("DISTROLESS_GZIP")
	if name == "" {
		b.Skip("DISTROLESS_GZIP names no file")
	}
	data, err := os.ReadFile(name)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		open func(io.Reader) (io.Reader, error)
	}{
		{"this", func(r io.Reader) (io.Reader, error) { return NewReader(r) }},
		{"library", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"standard library", func(r io.Reader) (io.Reader, error) { return stdgzip.NewReader(r) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			buf := make([]byte, 128<<10)
			for b.Loop() {
				z, err := c.open(bytes.NewReader(data))
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{z}, buf)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(n)
			}
		})
	}
}
