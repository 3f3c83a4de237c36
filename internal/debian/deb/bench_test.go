package deb

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
)

// BenchmarkEntries is the cost per entry: what a package of many small files
// costs beyond decompression.
func BenchmarkEntries(b *testing.B) {
	entries := []entry{dir("./"), dir("./usr/"), dir("./usr/share/")}
	for i := range 2000 {
		d := fmt.Sprintf("./usr/share/package-%03d/", i/20)
		if i%20 == 0 {
			entries = append(entries, dir(d))
		}
		entries = append(entries, file(fmt.Sprintf("%sfile-%04d.txt", d, i), "a few bytes of content"))
	}
	benchmark(b, pack(control(b), buildTar(b, entries...)), len(entries))
}

// BenchmarkGzip is a package of one large file, whose content is taken whole.
func BenchmarkGzip(b *testing.B) {
	body := bytes.Repeat([]byte("some text that packs, but not away\x00\x01\x02"), 200_000)
	data := gzipped(b, buildTar(b, file("./f", string(body))))
	benchmark(b, buildAr(version(), part{name: "control.tar", body: control(b)}, part{name: "data.tar.gz", body: data}), 1)
}

func benchmark(b *testing.B, whole []byte, entries int) {
	b.ReportAllocs()
	var bytesOut int64
	for b.Loop() {
		bytesOut = 0
		r, err := Open(context.Background(), bytes.NewReader(whole), "bench.deb", Options{})
		if err != nil {
			b.Fatal(err)
		}
		for {
			_, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			content, err := r.Content(nil)
			if err != nil {
				b.Fatal(err)
			}
			bytesOut += int64(len(content))
		}
		r.Close()
	}
	b.SetBytes(bytesOut)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*entries), "ns/entry")
}
