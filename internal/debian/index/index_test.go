package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

const hash = "704dae7df79a35ed1bd3a0a8d5d1b9ce7a4ecdef74ddff72114d9523d63710eb"

const openssl = `Package: libssl3t64
Source: openssl (3.5.1-1)
Version: 3.5.1-1+b1
Installed-Size: 5000
Maintainer: Somebody <somebody@example.org>
Architecture: amd64
Replaces: libssl3
Provides: libssl3 (= 3.5.1-1+b1)
Depends: libc6 (>= 2.38),
 libzstd1 (>= 1.5.5),
 zlib1g (>= 1:1.1.4)
Pre-Depends: dpkg
Conflicts: a
Breaks: b (<< 1)
Description: a library
 Depends: not a field
 .
Multi-Arch: same
Section: libs
Priority: optional
Filename: pool/main/o/openssl/libssl3t64_3.5.1-1+b1_amd64.deb
Size: 2437020
SHA256: ` + hash + "\n"

func minimal(name string) string {
	return "Package: " + name + "\nVersion: 1\nArchitecture: all\nEssential: yes\nFilename: pool/" + name + ".deb\nSize: 0\nSHA256: " + hash + "\n"
}

func parse(r io.Reader) ([]*Package, error) {
	var all []*Package
	err := Parse(context.Background(), r, "trixie", func(p *Package) error {
		all = append(all, p)
		return nil
	})
	return all, err
}

// Every field here decides what is fetched or where an image says it came from.
func TestParse(t *testing.T) {
	want := []*Package{
		{
			Name: "libssl3t64", Version: "3.5.1-1+b1", Arch: "amd64", Source: "openssl", SourceVersion: "3.5.1-1",
			MultiArch: "same", Priority: "optional",
			PreDepends: "dpkg", Depends: "libc6 (>= 2.38),\n libzstd1 (>= 1.5.5),\n zlib1g (>= 1:1.1.4)", Conflicts: "a", Breaks: "b (<< 1)",
			Provides: "libssl3 (= 3.5.1-1+b1)",
			Path:     "pool/main/o/openssl/libssl3t64_3.5.1-1+b1_amd64.deb", Size: 2437020, SHA256: hash, Suite: "trixie",
		},
		{Name: "x", Version: "1", Arch: "all", Source: "x", SourceVersion: "1", Essential: true, Path: "pool/x.deb", SHA256: hash, Suite: "trixie"},
		{Name: "yy", Version: "1", Arch: "all", Source: "yy", SourceVersion: "1", Essential: true, Path: "pool/yy.deb", SHA256: hash, Suite: "trixie"},
	}
	text := openssl + "\n" + minimal("x") + "\n\n\n" + minimal("yy")
	crlf := strings.ReplaceAll(text, "\n", "\r\n")
	for name, r := range map[string]io.Reader{
		"plain":                  strings.NewReader(text),
		"empty lines around":     strings.NewReader("\n\n" + text + "\n\n"),
		"no final newline":       strings.NewReader(strings.TrimSuffix(text, "\n")),
		"byte by byte":           iotest.OneByteReader(strings.NewReader(text)),
		"end with the last data": iotest.DataErrReader(strings.NewReader(text)),
		"lower case":             strings.NewReader(lowerNames(text)),
		"no spaces after colons": strings.NewReader(strings.ReplaceAll(text, ": ", ":")),
		"trailing spaces":        strings.NewReader(strings.ReplaceAll(text, "1\n", "1 \t\n")),
		"crlf":                   strings.NewReader(crlf),
		"crlf, no final newline": strings.NewReader(strings.TrimSuffix(crlf, "\r\n")),
	} {
		got, err := parse(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, p := range got {
			p.Depends = strings.ReplaceAll(p.Depends, "\r\n", "\n")
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	if got, err := parse(strings.NewReader("")); err != nil || got != nil {
		t.Errorf("an empty index is %v, %v", got, err)
	}
}

func lowerNames(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if name, value, ok := strings.Cut(l, ":"); ok && l[0] != ' ' {
			lines[i] = strings.ToLower(name) + ":" + value
		}
	}
	return strings.Join(lines, "\n")
}

func TestParseKeepsEveryVersion(t *testing.T) {
	got, err := parse(strings.NewReader(minimal("x") + "\n" + strings.Replace(minimal("x"), "Version: 1", "Version: 2", 1)))
	if err != nil || len(got) != 2 || got[1].Version != "2" {
		t.Errorf("got %v, %v; want both versions", got, err)
	}
}

// Hostile or broken indices: what is refused never reaches a path or a lock.
func TestParseRefuses(t *testing.T) {
	replace := func(old, new string) string { return minimal("x") + "\n" + strings.Replace(minimal("y"), old, new, 1) }
	for _, c := range []struct{ name, text, want string }{
		{"no name", replace("Package: y\n", ""), "line 9: field Package is missing or empty"},
		{"empty name", replace("Package: y", "Package:"), "line 9: field Package is missing or empty"},
		{"bad name", replace("Package: y", "Package: ../y"), "line 9: package ../y: it is no name for a package"},
		{"no version", replace("Version: 1\n", ""), "line 9: package y: field Version is missing or empty"},
		{"bad version", replace("Version: 1", "Version: 1/2"), "line 10: package y: read version"},
		{"no architecture", replace("Architecture: all\n", ""), "field Architecture is missing or empty"},
		{"bad architecture", replace("Architecture: all", "Architecture: a/b"), `line 11: package y: architecture "a/b"`},
		{"no hash", replace("SHA256", "SHA512"), "field SHA256 is missing or empty"},
		{"short hash", replace("SHA256: 7", "SHA256: "), "line 15: package y: sha256"},
		{"hash of other letters", replace("SHA256: 7", "SHA256: g"), "line 15: package y: sha256"},
		{"no size", replace("Size: 0\n", ""), "field Size is missing or empty"},
		{"negative size", replace("Size: 0", "Size: -1"), `line 14: package y: size "-1" is not a number of bytes`},
		{"signed size", replace("Size: 0", "Size: +1"), `size "+1" is not a number of bytes`},
		{"size too large", replace("Size: 0", "Size: 9223372036854775808"), "is not a number of bytes"},
		{"no file name", replace("Filename: pool/y.deb\n", ""), "field Filename is missing or empty"},
		{"absolute", replace("pool/y.deb", "/etc/passwd"), `line 13: package y: file name "/etc/passwd" is no path below the archive's root`},
		{"upwards", replace("pool/y.deb", "pool/../../y.deb"), "is no path below the archive's root"},
		{"upwards after a dot", replace("pool/y.deb", "./../y.deb"), "is no path below the archive's root"},
		{"dot alone", replace("pool/y.deb", "./"), "is no path below the archive's root"},
		{"backslash", replace("pool/y.deb", `..\y.deb`), "is no path below the archive's root"},
		{"space in the path", replace("pool/y.deb", "pool/y .deb"), "is no path below the archive's root"},
		{"path over two lines", replace("pool/y.deb", "pool/y\n .deb"), "is no path below the archive's root"},
		{"bad source", replace("Version", "Source: a b\nVersion"), `line 10: package y: source "a b" is no name for a package`},
		{"bad source version", replace("Version", "Source: a (x)\nVersion"), `source "a (x)" is no name with a version`},
		{"open source version", replace("Version", "Source: a (1\nVersion"), `source "a (1" is no name with a version`},
		{"field twice", replace("Size: 0", "version: 2\nSize: 0"), "line 14: package y: field Version is there twice, first in line 10"},
		{"no colon", replace("Size: 0", "Size 0"), `line 14: package y: "Size 0" is no field`},
		{"colon first", replace("Size: 0", ": 0"), `line 14: package y: ": 0" is no field`},
		{"comment", replace("Size: 0", "# a: b\nSize: 0"), `"# a: b" is no field`},
		{"blank line of spaces", replace("Size: 0", " \nSize: 0"), "line 14: package y: a line of spaces alone"},
		{"continuation first", "\n" + " a\n", "line 2: a continuation line without a field before it"},
		{"stanza too long", "Package: x\nDescription: " + strings.Repeat("x", maxStanza+blockSize), "line 2: the paragraph is longer than"},
		{"two lines in the name", replace("Package: y", "Package: y\n z"), "it is no name for a package"},
	} {
		_, err := parse(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "read index of trixie: line ") {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestParseFlatArchive(t *testing.T) {
	got, err := parse(strings.NewReader(strings.Replace(strings.Replace(minimal("x"), "pool/", "./", 1), hash, strings.ToUpper(hash), 1)))
	if err != nil || got[0].Path != "x.deb" || got[0].SHA256 != hash {
		t.Errorf("got %+v, %v; want the path and the hash in their usual form", got, err)
	}
}

// A cut download, a full disk, Ctrl-C: the reading ends and says so.
func TestParseEndsEarly(t *testing.T) {
	broken := errors.New("broken")
	_, err := parse(io.MultiReader(strings.NewReader(minimal("x")), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("reader: got %v, want its error", err)
	}
	n := 0
	err = Parse(context.Background(), strings.NewReader(minimal("x")+"\n"+minimal("y")), "s", func(*Package) error { n++; return broken })
	if err != broken || n != 1 {
		t.Errorf("yield: got %v after %d packages, want its own error after one", err, n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	endless := io.MultiReader(strings.NewReader(minimal("x")+"\n"), &generator{})
	err = Parse(ctx, endless, "s", func(*Package) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("context: got %v, want that it was cancelled", err)
	}
}

// generator writes an endless index of the shape of a real one.
type generator struct {
	n    int
	rest []byte
}

func (g *generator) Read(b []byte) (int, error) {
	if len(g.rest) == 0 {
		g.n++
		g.rest = []byte(realistic(g.n))
	}
	n := copy(b, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

// realistic is a stanza with the fields, lengths and order of Debian's own.
func realistic(n int) string {
	var b strings.Builder
	name := fmt.Sprintf("libexample%d-dev", n)
	fmt.Fprintf(&b, "Package: %s\nSource: example-%d\nVersion: 1:2.%d-3+deb13u1\nInstalled-Size: %d\n", name, n/3, n%97, n*7)
	b.WriteString("Maintainer: Example Maintainers <pkg-example-maintainers@lists.example.org>\nArchitecture: amd64\n")
	fmt.Fprintf(&b, "Depends: libexample%d (= 1:2.%d-3+deb13u1), libc6 (>= 2.38), libgcc-s1 (>= 4.2), libstdc++6 (>= 13.1), default-mta | mail-transport-agent, zlib1g (>= 1:1.2.0)\n", n, n%97)
	if n%5 == 0 {
		fmt.Fprintf(&b, "Provides: example-dev (= 2.%d), libexample-dev\nBreaks: libexample0-dev (<< 2~)\n", n%97)
	}
	b.WriteString("Suggests: example-doc, example-tools\nDescription: development files of a library that is an example\nMulti-Arch: same\n")
	b.WriteString("Homepage: https://example.org/projects/example/\nDescription-md5: d943033bedada21853d2ae54a2578a7b\n")
	b.WriteString("Tag: devel::lang:c, devel::library, implemented-in::c, role::devel-lib,\n uitoolkit::gtk, works-with::text,\n x11::application\nSection: libdevel\nPriority: optional\n")
	fmt.Fprintf(&b, "Filename: pool/main/e/example-%d/%s_2.%d-3+deb13u1_amd64.deb\nSize: %d\nMD5sum: def4e9fbaca705a3ef4e16904cdd6dc5\nSHA256: %s\n\n", n/3, name, n%97, n*1000, hash)
	return b.String()
}

func FuzzIndex(f *testing.F) {
	for _, s := range []string{"", openssl, minimal("x") + "\n" + minimal("y"), strings.ReplaceAll(openssl, "\n", "\r\n"), "Package: x\n \n", "a:b\n\n\n", realistic(5)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		whole, err := parse(bytes.NewReader(text))
		bytewise, err2 := parse(iotest.OneByteReader(bytes.NewReader(text)))
		if (err == nil) != (err2 == nil) || !reflect.DeepEqual(whole, bytewise) {
			t.Fatalf("read at once it is %v, %v; byte by byte %v, %v", whole, err, bytewise, err2)
		}
		for _, p := range whole {
			if p.Name == "" || p.Version == "" || p.Arch == "" || p.Source == "" || p.SourceVersion == "" || len(p.SHA256) != 64 || p.Size < 0 ||
				p.Path == "" || p.Path[0] == '/' || strings.Contains("/"+p.Path+"/", "/../") {
				t.Fatalf("got through: %+v", p)
			}
		}
	})
}

// BenchmarkParse reads an index of 10 MB in the shape of a real one.
func BenchmarkParse(b *testing.B) {
	var text bytes.Buffer
	for n := 0; text.Len() < 10<<20; n++ {
		text.WriteString(realistic(n))
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if err := Parse(context.Background(), bytes.NewReader(text.Bytes()), "trixie", func(*Package) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
