package deb

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// part is one ar member of a package under test.
type part struct {
	name string
	body []byte
	size string // instead of the true size
	end  string // instead of "`\n"
}

func buildAr(parts ...part) []byte {
	var b bytes.Buffer
	b.WriteString(arMagic)
	for _, p := range parts {
		size, end := fmt.Sprint(len(p.body)), "`\n"
		if p.size != "" {
			size = p.size
		}
		if p.end != "" {
			end = p.end
		}
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10s%s", p.name, 0, 0, 0, "100644", size, end)
		b.Write(p.body)
		if len(p.body)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// entry is one tar entry of a package under test: a directory, unless it says
// otherwise.
type entry struct {
	tar.Header
	body string
}

func dir(name string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}}
}

func file(name, body string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(body))}, body: body}
}

func symlink(name, target string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}}
}

func hardlink(name, target string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}}
}

func special(name string, kind byte) entry {
	return entry{Header: tar.Header{Typeflag: kind, Name: name, Mode: 0o644}}
}

func buildTar(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatalf("build the test's tar: %v", err)
		}
		if _, err := w.Write([]byte(e.body)); err != nil {
			t.Fatalf("build the test's tar: %v", err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// patchTar changes header bytes of the first block and mends its checksum.
func patchTar(archive []byte, change func(block []byte)) []byte {
	archive = bytes.Clone(archive)
	block := archive[:tarBlock]
	change(block)
	copy(block[148:156], "        ")
	sum := 0
	for _, c := range block {
		sum += int(c)
	}
	copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return archive
}

const goodControl = "Package: hello\nVersion: 1.0-1\nArchitecture: amd64\nDescription: test\n more\n"

func control(t testing.TB, extra ...entry) []byte {
	return buildTar(t, append([]entry{dir("./"), file("./control", goodControl)}, extra...)...)
}

// pack builds a whole package from its two tar archives.
func pack(control, data []byte) []byte {
	return buildAr(version(), part{name: "control.tar", body: control}, part{name: "data.tar", body: data})
}

func version() part { return part{name: "debian-binary", body: []byte("2.0\n")} }

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

func zeros(n int) []byte { return make([]byte, n) }

func long(n int) string { return strings.Repeat("x", n) }
