package elf

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

func parse(b []byte) (*Info, error) { return Parse(bytes.NewReader(b), int64(len(b))) }

// A field read wrongly on one of Debian's architectures would pass programs
// that cannot start there.
func TestParseEveryClassAndByteOrder(t *testing.T) {
	for _, c := range []struct {
		name  string
		class int
		order binary.ByteOrder
		m     Machine
		arch  string
	}{
		{"amd64", 64, binary.LittleEndian, X8664, "amd64"},
		{"i386", 32, binary.LittleEndian, I386, "i386"},
		{"arm64", 64, binary.LittleEndian, AArch64, "arm64"},
		{"armhf", 32, binary.LittleEndian, ARM, "armhf"},
		{"s390x", 64, binary.BigEndian, S390, "s390x"},
		{"ppc64el", 64, binary.LittleEndian, PPC64, "ppc64el"},
		{"riscv64", 64, binary.LittleEndian, RISCV, "riscv64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parse(library(c.class, c.order, c.m).bytes())
			if err != nil {
				t.Fatal(err)
			}
			want := &Info{
				Class: c.class, BigEndian: c.order == binary.ByteOrder(binary.BigEndian), Type: Shared, Machine: c.m, Flags: 0x400,
				Interp: "/lib/ld.so.1", Dynamic: true, Flags1: FlagPIE, Soname: "liba.so.1",
				Needed:  []string{"libb.so.2", "libc.so.6"},
				RunPath: []string{"$ORIGIN/../lib", strings.Repeat("/long", 300)},
				Verneed: library(64, c.order, c.m).verneed,
				Verdef:  []string{"liba.so.1", "A_1", "A_2"},
				ABI:     &ABITag{Kernel: [3]uint32{3, 2, 0}},
			}
			if c.m == X8664 || c.m == I386 {
				want.ISANeeded = 5
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if got.Arch() != c.arch {
				t.Errorf("arch %q, want %q", got.Arch(), c.arch)
			}
			stored, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			back := &Info{}
			if err := json.Unmarshal(stored, back); err != nil || !reflect.DeepEqual(back, want) {
				t.Errorf("through JSON: %v %+v", err, back)
			}
		})
	}
}

// The test's own binary is a static Go program on most machines: it must be
// seen as one that needs nothing, or every Go program would fail the check.
func TestParseOwnBinary(t *testing.T) {
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		t.Skip("not an ELF machine")
	}
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	info, err := Parse(f, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	if !info.IsProgram() {
		t.Errorf("a program that does not look like one: %+v", info)
	}
}

// A damaged file must be an error: a crash or a huge allocation here is a
// build that one package can stop.
func TestParseDamaged(t *testing.T) {
	whole := library(64, binary.LittleEndian, X8664).bytes()
	change := func(f func(b []byte)) []byte {
		b := bytes.Clone(whole)
		f(b)
		return b
	}
	tag := func(tags ...[2]any) []byte {
		f := file{class: 64, order: binary.LittleEndian, typ: Shared, machine: X8664, tags: tags}
		return f.bytes()
	}
	le := binary.LittleEndian
	for _, c := range []struct {
		name string
		data []byte
		want string // part of the error
	}{
		{"class", change(func(b []byte) { b[4] = 9 }), "class 9"},
		{"order", change(func(b []byte) { b[5] = 0 }), "byte order 0"},
		{"header cut short", whole[:40], "64 bytes wanted"},
		{"headers past the end", change(func(b []byte) { le.PutUint64(b[32:], 1<<40) }), "program headers at"},
		{"headers at a negative offset", change(func(b []byte) { le.PutUint64(b[32:], 1<<63) }), "program headers at"},
		{"too many headers", change(func(b []byte) { le.PutUint16(b[56:], 0xffff) }), "65535 program headers"},
		{"header size", change(func(b []byte) { le.PutUint16(b[54:], 8) }), "of 8 bytes"},
		{"file cut short", whole[:len(whole)-16], "a dynamic segment of"},
		{"interpreter without end", change(func(b []byte) { le.PutUint64(b[64+32:], 3) }), "without end"},
		{"interpreter past the end", change(func(b []byte) { le.PutUint64(b[64+32:], 1<<62) }), "a segment of"},
		{"name past the table", tag([2]any{dtNeeded, 1 << 20}), "a name at 1048576"},
		{"version chain outside", tag([2]any{dtVerneed, 1 << 30}, [2]any{dtVerneedNum, 1}), "in no loaded segment"},
		{"endless versions", tag([2]any{dtVerdef, vaddr}, [2]any{dtVerdefNum, 1 << 40}), "version records"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(c.data)
			var damage *FormatError
			if !errors.As(err, &damage) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			info, err := Inspect(bytes.NewReader(c.data), int64(len(c.data)))
			if err != nil || info == nil || !strings.Contains(info.Malformed, c.want) {
				t.Errorf("Inspect: %+v, %v", info, err)
			}
		})
	}
}

// Records may share a name. Without a bound a small file would make gigabytes.
func TestSharedNamesAreBounded(t *testing.T) {
	f := library(64, binary.LittleEndian, X8664)
	long := strings.Repeat("x", 16000)
	for range 400 {
		f.tags = append(f.tags, [2]any{dtNeeded, 0})
	}
	f.tags = append(f.tags, [2]any{dtNeeded, long})
	b := f.bytes()
	// Point every name at the long one.
	at := bytes.Index(b, []byte(long))
	table := bytes.LastIndex(b[:at], []byte("\x00libb.so.2\x00"))
	for i := 0; i+16 <= len(b); i += 8 {
		if binary.LittleEndian.Uint64(b[i:]) == dtNeeded && binary.LittleEndian.Uint64(b[i+8:]) == 0 {
			binary.LittleEndian.PutUint64(b[i+8:], uint64(at-table))
		}
	}
	if _, err := parse(b); err == nil || !strings.Contains(err.Error(), "bytes of names") {
		t.Errorf("got %v, want the bound on names", err)
	}
}

func TestNotELF(t *testing.T) {
	for _, s := range []string{"", "\x7fELF", "#!/bin/sh\necho hello, world\n", strings.Repeat("x", 5000)} {
		if _, err := parse([]byte(s)); !errors.Is(err, ErrNotELF) {
			t.Errorf("%.20q: %v", s, err)
		}
		if info, err := Inspect(strings.NewReader(s), int64(len(s))); info != nil || err != nil {
			t.Errorf("Inspect %.20q: %v, %v", s, info, err)
		}
	}
}

// An unreadable file is no damaged file: the reader's error must come through.
func TestReadError(t *testing.T) {
	broken := errors.New("disk on fire")
	if _, err := Inspect(errorAt{broken}, 1000); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type errorAt struct{ err error }

func (e errorAt) ReadAt([]byte, int64) (int, error) { return 0, e.err }

func FuzzParse(f *testing.F) {
	for _, m := range []Machine{X8664, ARM, S390} {
		class, order := 64, binary.ByteOrder(binary.LittleEndian)
		if m == ARM {
			class = 32
		}
		if m == S390 {
			order = binary.BigEndian
		}
		b := library(class, order, m).bytes()
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := parse(b)
		var damage *FormatError
		if err != nil && !errors.Is(err, ErrNotELF) && !errors.As(err, &damage) {
			t.Fatalf("an error of another kind: %v", err)
		}
		if err == nil && len(info.Needed) > len(b) {
			t.Fatalf("%d needed libraries in %d bytes", len(info.Needed), len(b))
		}
	})
}

func BenchmarkParse(b *testing.B) {
	data := library(64, binary.LittleEndian, X8664).bytes()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

// The facts of a file must not keep its bytes in memory: the facts of every
// package are held for a whole run, and the bytes of one are 100 MB.
func TestParseLetsGo(t *testing.T) {
	gone := make(chan struct{})
	facts := func() *Info {
		r := &heldFile{data: selfBytes(t)}
		runtime.AddCleanup(r, func(c chan struct{}) { close(c) }, gone)
		info, err := Parse(r, int64(len(r.data)))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}()
	for range 50 {
		runtime.GC()
		select {
		case <-gone:
			runtime.KeepAlive(facts)
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Errorf("the facts of an ELF file (%s) keep what they were read from", facts.Machine)
}

// heldFile is a file in memory.
type heldFile struct{ data []byte }

func (r *heldFile) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(r.data).ReadAt(p, off)
}

// selfBytes is the program that runs the test.
func selfBytes(t *testing.T) []byte {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
