package deb

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"distroless/internal/testenv"
)

// The entry and content that a package holds come out unchanged, whatever
// way its paths are spelled and its members compressed.
func TestRead(t *testing.T) {
	setuid := file("./usr/bin/su", "suid")
	setuid.Mode, setuid.Uid, setuid.Gid, setuid.ModTime = 0o104755, 1, 7, time.Unix(1700000000, 0)
	caps := file("usr/bin/ping", "caps")
	caps.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "\x01\x00\x00\x02"}
	longName := "./usr/share/" + long(120) + "/" + long(90)
	tmp := dir("./tmp")
	tmp.Mode = 0o1777
	entries := []entry{
		dir("./"), tmp, dir("usr/"), dir("./usr/"), dir("./usr//bin/."), setuid, caps,
		file(longName, ""), symlink("./usr/bin/x", "../share"), symlink("./abs", "/proc/self"),
		hardlink("./usr/bin/su2", "./usr/bin/su"), hardlink("./usr/bin/su3", "usr/bin/su2"),
	}
	want := []Header{
		{Path: "/", Kind: Dir, Mode: 0o755},
		{Path: "/tmp", Kind: Dir, Mode: 0o1777},
		{Path: "/usr", Kind: Dir, Mode: 0o755},
		{Path: "/usr", Kind: Dir, Mode: 0o755},
		{Path: "/usr/bin", Kind: Dir, Mode: 0o755},
		{Path: "/usr/bin/su", Kind: File, Mode: 0o4755, UID: 1, GID: 7, ModTime: 1700000000, Size: 4},
		{Path: "/usr/bin/ping", Kind: File, Mode: 0o644, Size: 4, Xattrs: map[string]string{"security.capability": "\x01\x00\x00\x02"}},
		{Path: longName[1:], Kind: File, Mode: 0o644},
		{Path: "/usr/bin/x", Kind: Symlink, Mode: 0o777, Link: "../share"},
		{Path: "/abs", Kind: Symlink, Mode: 0o777, Link: "/proc/self"},
		{Path: "/usr/bin/su2", Kind: Hardlink, Mode: 0o644, Link: "/usr/bin/su"},
		{Path: "/usr/bin/su3", Kind: Hardlink, Mode: 0o644, Link: "/usr/bin/su"},
	}
	contents := map[string]string{"/usr/bin/su": "suid", "/usr/bin/ping": "caps"}
	c := control(t,
		file("./md5sums", "d41d8  usr/bin/su\n"), file("./conffiles", "/etc/a\nremove-on-upgrade /etc/b\n/etc/c d\n"),
		file("./postinst", "#!/bin/sh\n"), file("./config", "true\n"), file("./triggers", "activate-noawait ldconfig\n"),
		file("./templates", "x"))
	data := buildTar(t, entries...)
	xz := func(b []byte) []byte { return runFilter(t, b, "xz", "-c") }
	for _, form := range []struct {
		name    string
		control part
		data    part
	}{
		{"plain", part{name: "control.tar", body: c}, part{name: "data.tar", body: data}},
		{"slash", part{name: "control.tar/", body: c}, part{name: "data.tar/", body: data}},
		{"gzip", part{name: "control.tar.gz", body: gzipped(t, c)}, part{name: "data.tar.gz", body: gzipped(t, data)}},
		{"zstd", part{name: "control.tar.zst", body: zstded(t, c)}, part{name: "data.tar.zst", body: zstded(t, data)}},
		{"xz", part{name: "control.tar.xz", body: xz(c)}, part{name: "data.tar.xz", body: xz(data)}},
		{"bzip2", part{name: "control.tar.bz2", body: runFilter(t, c, "bzip2")}, part{name: "data.tar.bz2", body: runFilter(t, data, "bzip2")}},
		{"lzma", part{name: "control.tar.gz", body: gzipped(t, c)}, part{name: "data.tar.lzma", body: runFilter(t, data, "xz", "-c", "--format=lzma")}},
	} {
		t.Run(form.name, func(t *testing.T) {
			if form.control.body == nil || form.data.body == nil {
				if testenv.Required() {
					t.Fatal("the compressor is not installed, but DISTROLESS_E2E=1 requires it")
				}
				t.Skip("the compressor is not installed")
			}
			whole := buildAr(version(), part{name: "_first", body: []byte("odd")}, form.control,
				part{name: "_second"}, form.data, part{name: "_gpgorigin", body: []byte("sig")}, part{name: "later"})
			r, err := Open(context.Background(), bytes.NewReader(whole), "test.deb", Options{Name: "hello", Version: "1.0-1", Arch: "amd64"})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			checkControl(t, r.Control())
			for i, w := range want {
				h, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(*h, w) {
					t.Errorf("entry %d: got %+v, want %+v", i, *h, w)
				}
				body, err := r.Content(nil)
				if err != nil || string(body) != contents[h.Path] {
					t.Errorf("%s: content %q, %v: want %q", h.Path, body, err, contents[h.Path])
				}
			}
			if h, err := r.Next(); err != io.EOF {
				t.Errorf("at the end: %v, %v", h, err)
			}
		})
	}
}

func checkControl(t *testing.T, c *Control) {
	t.Helper()
	if c.Name != "hello" || c.Version != "1.0-1" || c.Arch != "amd64" || c.Field("description") != "test\n more" {
		t.Errorf("control: %+v", c)
	}
	if string(c.Paragraph) != goodControl {
		t.Errorf("paragraph changed: %q", c.Paragraph)
	}
	if got := strings.Join(c.Conffiles, "|"); got != "/etc/a|/etc/c d" {
		t.Errorf("conffiles: %s", got)
	}
	if len(c.Scripts) != 2 || string(c.Scripts["postinst"]) != "#!/bin/sh\n" || string(c.Scripts["config"]) != "true\n" {
		t.Errorf("scripts: %q", c.Scripts)
	}
	if string(c.Triggers) != "activate-noawait ldconfig\n" || string(c.MD5Sums) != "d41d8  usr/bin/su\n" {
		t.Errorf("triggers %q, md5sums %q", c.Triggers, c.MD5Sums)
	}
}

// What has room for a content holds it, and nothing behind it is touched; what
// has none is left alone.
func TestContentRoom(t *testing.T) {
	whole := pack(control(t), buildTar(t, file("./a", "aaaa"), file("./b", "bbbb"), file("./c", "")))
	r, err := Open(context.Background(), bytes.NewReader(whole), "test.deb", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, want := range []struct{ room, content, left string }{
		{"......", "aaaa", "aaaa.."}, {"...", "bbbb", "..."}, {"...", "", "..."},
	} {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		room := []byte(want.room)
		got, err := r.Content(room)
		if err != nil || string(got) != want.content || string(room) != want.left {
			t.Errorf("Content with room for %d: %q, %v, room %q; want %q, room %q", len(room), got, err, room, want.content, want.left)
		}
	}
}

// A file may be skipped, read in pieces, streamed or taken whole; none of it
// disturbs the entries after it.
func TestContent(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 17<<16) // 17 MiB: past what Content allocates on trust
	whole := pack(control(t), buildTar(t, file("./a", big), file("./b", "bb"), file("./c", "cc"), file("./d", big)))
	r, err := Open(context.Background(), bytes.NewReader(whole), "test.deb", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	next := func() {
		t.Helper()
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	next()
	if b, err := r.Content(nil); err != nil || string(b) != big {
		t.Errorf("big content: %d bytes, %v", len(b), err)
	}
	next() // skipped
	next()
	var one [1]byte
	if n, err := r.Read(one[:]); n != 1 || err != nil || one[0] != 'c' {
		t.Errorf("Read: %d, %v", n, err)
	}
	if _, err := r.Content(nil); err == nil || !strings.Contains(err.Error(), "partly read") {
		t.Errorf("Content after Read: %v", err)
	}
	next()
	var b bytes.Buffer
	if n, err := r.WriteTo(&b); n != int64(len(big)) || err != nil || b.String() != big {
		t.Errorf("WriteTo: %d, %v", n, err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("end: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// A build that was cancelled stops in the middle of a package.
func TestCancel(t *testing.T) {
	whole := pack(control(t), buildTar(t, file("./a", string(zeros(1<<20))), file("./b", "")))
	ctx, cancel := context.WithCancel(context.Background())
	r, err := Open(ctx, bytes.NewReader(whole), "test.deb", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Content(nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if _, err := r.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestReadAfterClose(t *testing.T) {
	r, err := Open(context.Background(), bytes.NewReader(pack(control(t), buildTar(t, file("./a", "a")))), "test.deb", Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if _, err := r.Next(); err == nil || err == io.EOF {
		t.Errorf("Next after Close: %v", err)
	}
}

func TestCleanName(t *testing.T) {
	for in, want := range map[string]string{
		"./": "/", ".": "/", "./.": "/", "a": "/a", "./a/": "/a", "a//b/./c": "/a/b/c", "./..a": "/..a", "./a..": "/a..",
		"./ü": "/ü", "./a b": "/a b", `./a\x2db`: `/a\x2db`, ".a": "/.a", "./...": "/...",
	} {
		if got, err := cleanName(in, 100); got != want || err != nil {
			t.Errorf("cleanName(%q) = %q, %v: want %q", in, got, err, want)
		}
	}
}

var _ io.WriterTo = (*Reader)(nil)

// FuzzOpen: no .deb panics, and what is accepted keeps the promises that the
// file tree is built on.
func FuzzOpen(f *testing.F) {
	c := control(f, file("./postinst", "#!/bin/sh\n"))
	data := buildTar(f, dir("./"), dir("./usr/"), file("./usr/f", "content"), symlink("./usr/l", "f"), hardlink("./usr/h", "./usr/f"))
	f.Add(pack(c, data))
	f.Add(buildAr(version(), part{name: "control.tar.gz", body: gzipped(f, c)}, part{name: "data.tar.zst", body: zstded(f, data)}))
	f.Add(buildAr(version(), part{name: "control.tar", body: c}, part{name: "data.tar", body: patchTar(data, func(b []byte) { b[156] = tar.TypeXHeader })}))
	f.Add([]byte(arMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := readAll(b, Options{MaxControl: 1 << 20, MaxUnpacked: 1 << 20, MaxEntries: 1000})
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("error %T %v is no *Error", err, err)
		}
		checkHeaders(t, all)
	})
}

// FuzzAr: the container alone, member sizes add up to no more than the file.
func FuzzAr(f *testing.F) {
	f.Add(buildAr(version(), part{name: "data.tar/", body: []byte("odd")}, part{name: "x", size: "99"}))
	f.Add([]byte(arMagic + "debian-binary"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a := newArReader(bytes.NewReader(b))
		total := int64(0)
		for {
			name, err := a.next()
			if err != nil {
				return
			}
			if name == "" {
				t.Error("empty name")
			}
			n, err := io.Copy(io.Discard, a)
			if total += n + arHeaderLen; total > int64(len(b)) {
				t.Errorf("read %d bytes of %d", total, len(b))
			}
			if err != nil {
				return
			}
		}
	})
}

// FuzzTar reaches past the checksums that guard tar headers.
func FuzzTar(f *testing.F) {
	c := control(f)
	f.Add(buildTar(f, dir("./"), file("./usr/f", "content"), symlink("./usr/l", "f"), hardlink("./usr/h", "./usr/f")))
	f.Add(buildTar(f, file("./"+long(200), "x"), special("./p", tar.TypeFifo)))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b) // the fuzzer's own must stay as they are
		for i := 0; i+tarBlock <= len(b); i += tarBlock {
			copy(b[i:], patchTar(b[i:i+tarBlock], func([]byte) {}))
		}
		all, err := readAll(pack(c, append(b, zeros(2*tarBlock)...)), Options{MaxUnpacked: 1 << 20, MaxEntries: 1000})
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("error %T %v is no *Error", err, err)
		}
		checkHeaders(t, all)
	})
}

// checkHeaders holds what the file tree relies on.
func checkHeaders(t *testing.T, all []*Header) {
	t.Helper()
	for _, h := range all {
		if h.Path != "/" && !isClean(h.Path) || h.Kind == Hardlink && !isClean(h.Link) {
			t.Errorf("path %q, link %q", h.Path, h.Link)
		}
		if h.Mode&^0o7777 != 0 || h.Size < 0 || h.UID < 0 || h.GID < 0 {
			t.Errorf("header %+v", h)
		}
	}
}
