package lock_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"distroless/internal/plan/lock"
)

const (
	sumA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	sumB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// golden is a lock with everything in it, as it stands in a repository.
const golden = `{
 "version": 1,
 "cells": {
  "app/debian13/amd64": {
   "definition": "sha256:` + sumB + `",
   "from": "static",
   "source-date-epoch": 0,
   "archive": [],
   "packages": []
  },
  "static/debian13/amd64": {
   "definition": "sha256:` + sumA + `",
   "archive": [
    {"suite":"trixie","date":"2025-09-06T08:00:00Z","release":"` + sumA + `","keyring":"sha256:` + sumB + `"}
   ],
   "packages": [
    {"name":"libc6","version":"2.41-12","arch":"amd64","source":"glibc","suite":"trixie","path":"pool/main/g/glibc/libc6_2.41-12_amd64.deb","size":2847000,"sha256":"` + sumA + `","needs":["libgcc-s1"]},
    {"name":"tzdata","version":"2025b-4+deb13u1","arch":"all","source-version":"2025b-4","suite":"trixie","path":"pool/main/t/tzdata/tzdata_2025b-4_all.deb","size":260000,"sha256":"` + sumB + `","wanted":true}
   ],
   "debug": [
    {"name":"busybox-static","version":"1:1.37.0-6","arch":"amd64","source":"busybox","suite":"trixie","path":"pool/b.deb","size":1,"sha256":"` + sumB + `","wanted":true}
   ],
   "waivers": [
    {"package":"tzdata","relation":"debconf (>= 0.5) | debconf-2.0","reason":"<nothing> & nobody"}
   ],
   "layers": ["glibc"]
  }
 }
}
`

func epoch(n int64) *int64 { return &n }

func goldenLock() *lock.Lock {
	return &lock.Lock{Cells: map[lock.Key]*lock.Cell{
		{Image: "app", Distro: "debian13", Arch: "amd64"}: {Definition: "sha256:" + sumB, From: "static", SourceDateEpoch: epoch(0)},
		{Image: "static", Distro: "debian13", Arch: "amd64"}: {
			Definition: "sha256:" + sumA,
			Archive:    []lock.Suite{{Suite: "trixie", Date: time.Date(2025, 9, 6, 8, 0, 0, 0, time.UTC), Release: sumA, Keyring: "sha256:" + sumB}},
			Packages: []lock.Package{
				{Name: "libc6", Version: "2.41-12", Arch: "amd64", Source: "glibc", Suite: "trixie", Path: "pool/main/g/glibc/libc6_2.41-12_amd64.deb", Size: 2847000, SHA256: sumA, Needs: []string{"libgcc-s1"}},
				{Name: "tzdata", Version: "2025b-4+deb13u1", Arch: "all", SourceVersion: "2025b-4", Suite: "trixie", Path: "pool/main/t/tzdata/tzdata_2025b-4_all.deb", Size: 260000, SHA256: sumB, Wanted: true},
			},
			Debug: []lock.Package{
				{Name: "busybox-static", Version: "1:1.37.0-6", Arch: "amd64", Source: "busybox", Suite: "trixie", Path: "pool/b.deb", Size: 1, SHA256: sumB, Wanted: true},
			},
			Waivers: []lock.Waiver{{Package: "tzdata", Relation: "debconf (>= 0.5) | debconf-2.0", Reason: "<nothing> & nobody"}},
			Layers:  []string{"glibc"},
		},
	}}
}

// A lock lives in version control: one that is written differently by the next
// version of this program is a diff that nobody asked for.
func TestBytes(t *testing.T) {
	if got := string(goldenLock().Bytes()); got != golden {
		t.Errorf("got\n%s\nwant\n%s", got, golden)
	}
	if !json.Valid([]byte(golden)) {
		t.Error("not JSON")
	}
	l, err := lock.Parse([]byte(golden))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(l.Bytes()); got != golden {
		t.Errorf("read and written: %s", got)
	}
}

// drawLock makes any lock that the program could write.
func drawLock(t *rapid.T) *lock.Lock {
	name := rapid.StringMatching(`[a-z0-9][a-z0-9+.-]{1,12}`)
	sum := rapid.StringMatching(`[0-9a-f]{64}`)
	word := rapid.StringMatching(`[ -~äß<>&"\\]{1,20}`)
	packages := func(label string) []lock.Package {
		names := rapid.SliceOfNDistinct(name, 0, 5, rapid.ID).Draw(t, label)
		var out []lock.Package
		for _, n := range sorted(names) {
			out = append(out, lock.Package{
				Name: n, Version: rapid.StringMatching(`([0-9]:)?[0-9][0-9a-z.+~-]{0,9}`).Draw(t, "version"), Arch: rapid.SampledFrom([]string{"all", "amd64"}).Draw(t, "arch"),
				Source: rapid.SampledFrom([]string{"", "src"}).Draw(t, "source"), SourceVersion: rapid.SampledFrom([]string{"", "1"}).Draw(t, "sv"),
				Suite: "trixie", Path: "pool/" + n + ".deb", Size: rapid.Int64Range(1, 1<<40).Draw(t, "size"), SHA256: sum.Draw(t, "sum"),
				Wanted: rapid.Bool().Draw(t, "wanted"),
			})
		}
		return out
	}
	l := &lock.Lock{Cells: map[lock.Key]*lock.Cell{}}
	for range rapid.IntRange(0, 4).Draw(t, "cells") {
		k := lock.Key{Image: name.Draw(t, "image"), Distro: "debian13", Arch: rapid.SampledFrom([]string{"amd64", "arm64"}).Draw(t, "arch")}
		c := &lock.Cell{Definition: "sha256:" + sum.Draw(t, "definition"), Packages: packages("packages"), Debug: packages("debug")}
		if rapid.Bool().Draw(t, "has epoch") {
			c.SourceDateEpoch = epoch(rapid.Int64Range(0, 1<<40).Draw(t, "epoch"))
		}
		if rapid.Bool().Draw(t, "has waiver") {
			c.Waivers = []lock.Waiver{{Package: name.Draw(t, "waived"), Relation: word.Draw(t, "relation"), Reason: word.Draw(t, "reason")}}
		}
		c.Archive = []lock.Suite{{Suite: "trixie", Date: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "date"), 0).UTC(), Release: sum.Draw(t, "release"), Keyring: sum.Draw(t, "keyring")}}
		l.Cells[k] = c
	}
	return l
}

func sorted(s []string) []string {
	out := append([]string(nil), s...)
	for i := range out {
		for j := i; j > 0 && out[j] < out[j-1]; j-- {
			out[j], out[j-1] = out[j-1], out[j]
		}
	}
	return out
}

// What is written can be read, is the same lock, and is written the same again;
// every package stands on a line of its own.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLock(t)
		data := l.Bytes()
		back, err := lock.Parse(data)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if again := back.Bytes(); !bytes.Equal(data, again) {
			t.Fatalf("written\n%s\nread and written\n%s", data, again)
		}
		n := 0
		for k, c := range l.Cells {
			n += len(c.All())
			if c.Digest() != back.Cells[k].Digest() {
				t.Errorf("cell %s has another digest once read", k)
			}
		}
		if got := strings.Count(string(data), "\n    {\"name\":"); got != n {
			t.Errorf("%d lines of packages, want %d", got, n)
		}
	})
}

// A lock that somebody edited or merged wrongly is refused with what is wrong:
// half of one would build another image without a word.
func TestParseRefuses(t *testing.T) {
	edit := func(old, new string) string {
		if !strings.Contains(golden, old) {
			t.Fatalf("the golden lock has no %q", old)
		}
		return strings.Replace(golden, old, new, 1)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "unexpected EOF"},
		{"cut short", golden[:len(golden)/2], "unexpected EOF"},
		{"two documents", golden + golden, "text after the end of the document"},
		{"text behind", golden + "x", "text after the end of the document"},
		{"a conflict marker", edit(` "cells"`, "<<<<<<< HEAD\n \"cells\""), "line 3: invalid character '<'"},
		{"version", edit(`"version": 1`, `"version": 2`), "version 2, this program reads version 1"},
		{"no version", `{"cells":{}}`, "version 0, this program reads version 1"},
		{"unknown field", edit(`"from"`, `"form"`), `unknown field "form"`},
		{"wrong type", edit(`"size":1,`, `"size":"1",`), "line 21: json: cannot unmarshal string"},
		{"key", edit(`"app/debian13/amd64"`, `"app/debian13"`), `cell "app/debian13": expected image/distro/architecture`},
		{"key of four", edit(`"app/debian13/amd64"`, `"app/debian13/amd64/v2"`), `cell "app/debian13/amd64/v2": expected image/distro/architecture`},
		{"cell twice", edit(`"app/debian13/amd64"`, `"static/debian13/amd64"`), "cell static/debian13/amd64: given twice"},
		{"null cell", `{"version":1,"cells":{"a/b/c":null}}`, "cell a/b/c: empty"},
		{"definition", edit(`"definition": "sha256:`+sumB, `"definition": "sha256:beef`), "not a digest"},
		{"package's name", edit(`"name":"libc6"`, `"name":"libc6:amd64"`), `cell static/debian13/amd64: package "libc6:amd64": not a package's name`},
		{"package's version", edit(`"version":"2.41-12"`, `"version":""`), "package libc6: no version or architecture"},
		{"digest", edit(`"sha256":"`+sumA, `"sha256":"`+strings.ToUpper(sumA)), "not 64 hex digits"},
		{"size", edit(`"size":2847000`, `"size":-1`), "package libc6: size -1"},
		{"absolute path", edit(`pool/b.deb`, `/pool/b.deb`), `package busybox-static: path "/pool/b.deb": expected a clean path below the archive's root`},
		{"path that leaves", edit(`pool/b.deb`, `../b.deb`), "expected a clean path"},
		{"path with dots", edit(`pool/b.deb`, `pool/../../b.deb`), "expected a clean path"},
		{"no path", edit(`pool/b.deb`, ``), "expected a clean path"},
		{"out of order", edit(`"name":"libc6"`, `"name":"zlib1g"`), "package tzdata: out of order or given twice"},
		{"package twice", edit(`"name":"tzdata"`, `"name":"libc6"`), "package libc6: out of order or given twice"},
		{"Release's digest", edit(`"release":"`+sumA, `"release":"none`), "archive: suite trixie: release"},
		{"suite without a name", edit(`"suite":"trixie","date"`, `"suite":"","date"`), "archive: a suite without a name"},
		{"negative epoch", edit(`"source-date-epoch": 0`, `"source-date-epoch": -1`), "source-date-epoch -1"},
		{"waiver without reason", edit(`"<nothing> & nobody"`, `""`), "waiver of tzdata: no relation or no reason"},
		{"layer of nothing", edit(`"layers": ["glibc"]`, `"layers": ["openssl"]`), `layers: no package of the cell is made from "openssl"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := lock.Parse([]byte(tt.text))
			if err == nil {
				t.Fatalf("taken: %v", l.Keys())
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want %q", err, tt.want)
			}
		})
	}
}

// The cell's digest is what layers are remembered under.
func TestCellDigest(t *testing.T) {
	seen := map[string]int{}
	for i, change := range []func(*lock.Cell){
		func(*lock.Cell) {},
		func(c *lock.Cell) { c.Packages[0].SHA256 = sumB },
		func(c *lock.Cell) { c.Packages = c.Packages[:1] },
		func(c *lock.Cell) { c.Debug, c.Packages = c.Packages, c.Debug },
		func(c *lock.Cell) { c.Layers = nil },
		func(c *lock.Cell) { c.SourceDateEpoch = epoch(5) },
		func(c *lock.Cell) { c.SourceDateEpoch = epoch(0) },
	} {
		c := goldenLock().Cells[lock.Key{Image: "static", Distro: "debian13", Arch: "amd64"}]
		change(c)
		if other, dup := seen[c.Digest()]; dup {
			t.Errorf("changes %d and %d give the same digest", other, i)
		}
		seen[c.Digest()] = i
	}
}

// A cell that is added must keep every version that its distro and
// architecture have, debug ones too, and no others.
func TestVersions(t *testing.T) {
	l := goldenLock()
	got := l.Versions("debian13", "amd64")
	if len(got) != 3 || got["libc6"] != "2.41-12" || got["busybox-static"] != "1:1.37.0-6" {
		t.Error(got)
	}
	if got := l.Versions("debian13", "arm64"); len(got) != 0 {
		t.Error(got)
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "distroless.lock")
	l, err := lock.Read(file)
	if err != nil || len(l.Cells) != 0 {
		t.Fatalf("a file that is not there: %v, %v", l, err)
	}
	if err := goldenLock().Write(file); err != nil {
		t.Fatal(err)
	}
	if l, err = lock.Read(file); err != nil || string(l.Bytes()) != golden {
		t.Fatal(err)
	}

	// The same lock is not written again: make(1) and editors look at times.
	old := time.Unix(1e9, 0)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	if err := l.Write(file); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || !info.ModTime().Equal(old) {
		t.Error("a lock without changes was written")
	}

	// A lock that cannot be read is left as it is, and the error says the mend.
	if err := os.WriteFile(file, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err = lock.Read(file); err == nil || !strings.HasSuffix(err.Error(), `restore it from version control, or remove it and run "distroless lock"`) {
		t.Error(err)
	}
	if _, err := lock.Read(dir); err == nil {
		t.Error("a folder is read as a lock")
	}

	if err := l.Write(filepath.Join(dir, "none", "x.lock")); err == nil {
		t.Error("written into a folder that is not there")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// FuzzParse: what is taken is written in the one form, and read as the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(golden))
	f.Add([]byte(`{"version":1,"cells":{}}`))
	f.Add([]byte(`{"version":1,"cells":{"a/b/c":{"definition":"sha256:` + sumA + `"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := lock.Parse(data)
		if err != nil {
			return
		}
		text := l.Bytes()
		again, err := lock.Parse(text)
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v\n%s", err, text)
		}
		if !bytes.Equal(again.Bytes(), text) {
			t.Error("written twice, not the same")
		}
	})
}

// large is a lock of 40 images for 6 architectures with 60 packages each.
func large() *lock.Lock {
	l := &lock.Lock{Cells: map[lock.Key]*lock.Cell{}}
	for i := range 40 {
		for _, arch := range []string{"amd64", "arm64", "armhf", "ppc64el", "riscv64", "s390x"} {
			c := &lock.Cell{Definition: "sha256:" + sumA}
			for j := range 60 {
				p := goldenLock().Cells[lock.Key{Image: "static", Distro: "debian13", Arch: "amd64"}].Packages[0]
				p.Name = fmt.Sprintf("lib%03d", j)
				c.Packages = append(c.Packages, p)
			}
			l.Cells[lock.Key{Image: fmt.Sprintf("image%d", i), Distro: "debian13", Arch: arch}] = c
		}
	}
	return l
}

func BenchmarkParse(b *testing.B) {
	data := large().Bytes()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := lock.Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBytes(b *testing.B) {
	l := large()
	b.SetBytes(int64(len(l.Bytes())))
	for b.Loop() {
		l.Bytes()
	}
}
