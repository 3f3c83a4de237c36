package deb

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// readAll reads a package to its end and returns its headers.
func readAll(b []byte, o Options) ([]*Header, error) {
	r, err := Open(context.Background(), bytes.NewReader(b), "test.deb", o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all []*Header
	for {
		h, err := r.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, h)
		if _, err := r.Content(nil); err != nil {
			return all, err
		}
	}
}

// A package that passes one of these could write outside the image, exhaust
// the machine, or be read differently by dpkg and by us.
func TestHostile(t *testing.T) {
	good := control(t)
	data := func(entries ...entry) []byte { return pack(good, buildTar(t, entries...)) }
	raw := func(tarball []byte) []byte { return pack(good, tarball) }
	withControl := func(text string) []byte {
		return pack(buildTar(t, file("./control", text)), buildTar(t, dir("./")))
	}
	empty := buildTar(t, dir("./"))
	whole := pack(good, empty)
	sized := func(size string) []byte {
		return patchTar(buildTar(t, file("./f", "x")), func(b []byte) { copy(b[124:136], size) })
	}
	manyParts := []part{version()}
	for range arMaxParts + 1 {
		manyParts = append(manyParts, part{name: "_x"})
	}

	for _, c := range []struct {
		name string
		deb  []byte
		opt  Options
		want string // after "read test.deb: "
	}{
		// The container.
		{"empty", nil, Options{}, "too short for a .deb: unexpected EOF"},
		{"not ar", []byte("PK\x03\x04 is a zip"), Options{}, "not a Debian package"},
		{"ar without members", []byte(arMagic), Options{}, "unexpected EOF"},
		{"ar header cut short", whole[:40], Options{}, "ar header cut short after 32 of 60 bytes"},
		{"ar header end", buildAr(part{name: "debian-binary", body: []byte("2.0\n"), end: "xx"}), Options{}, "does not end in"},
		{"ar size negative", buildAr(version(), part{name: "control.tar", size: "-5"}), Options{}, `ar header has size "-5"`},
		{"ar size missing", buildAr(version(), part{name: "control.tar", size: " "}), Options{}, "ar header has no size"},
		{"ar size too large", buildAr(version(), part{name: "control.tar", body: good, size: "9999999999"}), Options{}, "control.tar: ar member cut short"},
		{"ar name empty", buildAr(part{name: ""}), Options{}, "ar member name"},
		{"ar name with control character", buildAr(part{name: "a\x1bb"}), Options{}, "want printable ASCII"},
		{"too many members", buildAr(manyParts...), Options{}, "more than 32 ar members"},
		{"control first", buildAr(part{name: "control.tar", body: good}), Options{}, "first member is control.tar: want debian-binary"},
		{"format version 3", buildAr(part{name: "debian-binary", body: []byte("3.0\n")}), Options{}, "debian-binary: format version 3.0: want 2.0"},
		{"format version without end", buildAr(part{name: "debian-binary", body: []byte("2.0")}), Options{}, "debian-binary: format version"},
		{"data before control", buildAr(version(), part{name: "data.tar", body: empty}), Options{}, "member data.tar where control.tar is due"},
		{"two control members", buildAr(version(), part{name: "control.tar", body: good}, part{name: "control.tar", body: good}), Options{}, "member control.tar where data.tar is due"},
		{"unknown member", buildAr(version(), part{name: "extra"}), Options{}, "member extra where control.tar is due"},
		{"no control member", buildAr(version()), Options{}, "no control.tar member: unexpected EOF"},
		{"no data member", buildAr(version(), part{name: "control.tar", body: good}), Options{}, "no data.tar member: unexpected EOF"},
		{"two data members", append(bytes.Clone(whole), buildAr(part{name: "data.tar.gz"})[8:]...), Options{}, "a second data.tar.gz member"},
		{"control after data", append(bytes.Clone(whole), buildAr(part{name: "control.tar"})[8:]...), Options{}, "a second control.tar member"},
		{"trailing garbage", append(bytes.Clone(whole), "garbage"...), Options{}, "trailing garbage"},
		{"long trailing garbage", append(bytes.Clone(whole), long(100)...), Options{}, "trailing garbage"},
		{"data member cut short", whole[:len(whole)-600], Options{}, "data.tar: after 1 entries: ar member cut short, 600 bytes missing"},
		{"unknown compression", buildAr(version(), part{name: "control.tar.br", body: good}), Options{}, `control.tar.br: compressed as ".br"`},
		{"not the compression that it says", buildAr(version(), part{name: "control.tar.gz", body: good}), Options{}, "control.tar.gz: gzip: "},
		{"not xz", buildAr(version(), part{name: "control.tar.xz", body: good}), Options{}, "control.tar.xz: xz: "},
		{"not zstd", buildAr(version(), part{name: "control.tar.zst", body: good}), Options{}, "zstd: "},
		{"garbage after gzip", buildAr(version(), part{name: "control.tar.gz", body: append(gzipped(t, good), "garbage, more than ten"...)}), Options{}, "control.tar.gz: gzip: "},
		{"bomb by size", buildAr(version(), part{name: "control.tar", body: good}, part{name: "data.tar.gz", body: gzipped(t, buildTar(t, file("./f", string(zeros(1<<20)))))}), Options{MaxUnpacked: 1 << 19}, "./f: claims 1048576 bytes: a package may unpack to 524288"},
		{"bomb by padding", buildAr(version(), part{name: "control.tar", body: good}, part{name: "data.tar.gz", body: gzipped(t, append(bytes.Clone(empty), zeros(2<<20)...))}), Options{}, "more than 1048576 bytes of padding"},
		{"bomb by ratio", buildAr(version(), part{name: "control.tar", body: good}, part{name: "data.tar.zst", body: zstded(t, buildTar(t, file("./f", string(zeros(ratioSlack+1<<20)))))}), Options{MaxRatio: 2}, "a decompression bomb"},
		{"control bomb", pack(buildTar(t, file("./control", string(zeros(1<<16)))), empty), Options{MaxControl: 1 << 12}, "control.tar: ./control: unpacks to more than 4096 bytes"},

		// The control member.
		{"no control file", pack(buildTar(t, dir("./"), file("./md5sums", "")), empty), Options{}, "control.tar: no file control"},
		{"control file is a link", pack(buildTar(t, symlink("./control", "/etc/shadow")), empty), Options{}, "control.tar: ./control: a symlink"},
		{"control file in a folder", pack(buildTar(t, file("./x/control", "")), empty), Options{}, "the control member is flat"},
		{"control file twice", pack(control(t, file("./control", goodControl)), empty), Options{}, "control.tar: ./control: listed twice"},
		{"control file escapes", pack(control(t, file("../postinst", "")), empty), Options{}, `control.tar: ../postinst: name with ".."`},
		{"conffile escapes", pack(control(t, file("./conffiles", "/etc/../x\n")), empty), Options{}, "./conffiles: line /etc/../x: want a canonical absolute path"},
		{"no Package", withControl("Version: 1\nArchitecture: all\n"), Options{}, "control.tar: control: no field Package"},
		{"no Version", withControl("Package: hello\nArchitecture: all\n"), Options{}, "no field Version"},
		{"no Architecture", withControl("Package: hello\nVersion: 1\n"), Options{}, "no field Architecture"},
		{"Package is a path", withControl("Package: ../x\nVersion: 1\nArchitecture: all\n"), Options{}, "field Package is ../x: want the form"},
		{"Version is a path", withControl("Package: hello\nVersion: 1/2\nArchitecture: all\n"), Options{}, "field Version is 1/2: want the form"},
		{"Package twice", withControl("Package: hello\npackage: x\n"), Options{}, "./control: "},
		{"two paragraphs", withControl(goodControl + "\n" + goodControl), Options{}, "2 paragraphs: want one"},
		{"no paragraph", withControl("\n"), Options{}, "0 paragraphs: want one"},
		{"continues nothing", withControl(" x\n"), Options{}, "./control: "},
		{"another package", whole, Options{Name: "other"}, "field Package is hello: expected other"},
		{"another version", whole, Options{Version: "1.0-2"}, "field Version is 1.0-1: expected 1.0-2"},
		{"another architecture", whole, Options{Arch: "arm64"}, "field Architecture is amd64: expected arm64"},

		// Paths.
		{"absolute name", data(file("/etc/x", "")), Options{}, "data.tar: /etc/x: absolute name"},
		{"dot dot", data(file("./a/../../x", "")), Options{}, `data.tar: ./a/../../x: name with ".."`},
		{"newline", data(file("./a\nb", "")), Options{}, `data.tar: "./a\nb": control character`},
		{"escape sequence", data(file("./a\x1b[2Jb", "")), Options{}, "control character"},
		{"long name", data(file("./"+long(5000), "")), Options{}, "name of 5002 bytes: at most 4096"},
		{"long part", data(file("./"+long(256), "")), Options{}, "part of 256 bytes: at most 255"},
		{"file with slash", raw(patchTar(buildTar(t, file("./f", "")), func(b []byte) { copy(b, "./f/") })), Options{}, "name ends in a slash"},
		{"root is a file", data(file(".", "")), Options{}, "the root is a regular file"},
		{"root is a symlink", data(symlink("./", "usr")), Options{}, "the root is a symlink"},
		{"file twice", data(file("./f", "a"), file("./f", "a")), Options{}, "data.tar: ./f: listed twice: a package has one regular file a path"},
		{"file twice, spelled differently", data(file("./f", "a"), file("f", "a")), Options{}, "data.tar: f: listed twice"},
		{"two kinds", data(file("./f", "a"), symlink("./f", "/etc")), Options{}, "listed twice, as a regular file and as a symlink"},
		{"directory becomes a link", data(dir("./d/"), symlink("./d", "/etc")), Options{}, "listed twice, as a directory and as a symlink"},
		{"implied directory becomes a link", data(file("./d/f", ""), symlink("./d", "/etc")), Options{}, "a symlink, but an earlier entry lies below it"},
		{"directory twice", data(dir("./d/"), entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: "./d", Mode: 0o777}}), Options{}, "listed twice with different modes"},
		{"below a symlink", data(symlink("./d", "/etc"), file("./d/passwd", "")), Options{}, "data.tar: ./d/passwd: lies below /d, which is a symlink"},
		{"deep below a symlink", data(symlink("./d", "/etc"), file("./d/x/y/z", "")), Options{}, "lies below /d, which is a symlink"},
		{"below a file", data(file("./d", ""), file("./d/f", "")), Options{}, "lies below /d, which is a regular file"},
		{"too many entries", data(dir("./a"), dir("./b"), dir("./c")), Options{MaxEntries: 2}, "data.tar: ./c: too many paths"},
		{"too many parents", data(file("./a/b/c/d", "")), Options{MaxEntries: 2}, "too many paths"},
		{"too much path", data(dir("./aaaa"), dir("./bbbb")), Options{MaxPathBytes: 8}, "the paths of the package take more than 8 bytes"},

		// Kinds and links.
		{"character device", data(special("./dev/null", tar.TypeChar)), Options{}, "data.tar: ./dev/null: device node"},
		{"block device", data(special("./sda", tar.TypeBlock)), Options{}, "./sda: device node"},
		{"fifo", data(special("./p", tar.TypeFifo)), Options{}, "./p: fifo"},
		{"unknown type", raw(patchTar(buildTar(t, file("./f", "")), func(b []byte) { b[156] = 'Q' })), Options{}, `tar entry of type 'Q'`},
		{"global PAX header", data(entry{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "x"}}}), Options{}, "tar entry of type 'g'"},
		{"symlink escapes", data(symlink("./usr/x", "../../etc/shadow")), Options{}, "symlink to ../../etc/shadow, which is outside the root"},
		{"absolute symlink escapes", data(symlink("./x", "/../etc")), Options{}, "outside the root"},
		{"symlink without target", data(symlink("./x", "")), Options{}, "symlink without a target"},
		{"symlink with newline", data(symlink("./x", "a\nb")), Options{}, "symlink target: control character"},
		{"hard link to nothing", data(hardlink("./x", "./etc/shadow")), Options{}, "hard link to /etc/shadow, which no earlier entry"},
		{"hard link to a later file", data(hardlink("./x", "./f"), file("./f", "")), Options{}, "hard link to /f, which no earlier entry"},
		{"hard link to itself", data(hardlink("./x", "./x")), Options{}, "hard link to /x, which no earlier entry"},
		{"hard link escapes", data(hardlink("./x", "../etc/shadow")), Options{}, `hard link target ../etc/shadow: name with ".."`},
		{"hard link absolute", data(file("./f", ""), hardlink("./x", "/f")), Options{}, "hard link target /f: absolute name"},
		{"hard link through a symlink", data(symlink("./d", "/etc"), hardlink("./x", "./d/shadow")), Options{}, "hard link to /d/shadow through /d, which is a symlink"},
		{"hard link to a directory", data(dir("./d"), hardlink("./x", "./d")), Options{}, "hard link to /d, which is a directory"},
		{"hard link to a symlink", data(symlink("./l", "f"), hardlink("./x", "./l")), Options{}, "hard link to /l, which is a symlink"},
		{"hard link with content", raw(patchTar(buildTar(t, file("./f", ""), hardlink("./x", "./f"))[512:], func(b []byte) { copy(b[124:136], "00000000005\x00") })), Options{}, "hard link with a size of 5"},

		// Headers.
		{"header checksum", raw(append([]byte("X"), empty[1:]...)), Options{}, "data.tar: after 0 entries: archive/tar: invalid tar header"},
		{"size beyond the data", raw(sized("00000100000\x00")), Options{}, "data.tar: /f: "},
		{"size negative", raw(sized("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")), Options{}, "invalid tar header"},
		{"size enormous", raw(sized("\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff")), Options{}, "./f: claims"},
		{"owner negative", raw(patchTar(empty, func(b []byte) { copy(b[108:116], "\xff\xff\xff\xff\xff\xff\xff\xff") })), Options{}, "owner -1:0 out of range"},
		{"time negative", raw(patchTar(empty, func(b []byte) { copy(b[136:148], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff") })), Options{}, "time -1: want seconds from 1970"},
		{"sparse file", raw(patchTar(buildTar(t, file("./f", "x")), func(b []byte) {
			b[156] = tar.TypeGNUSparse
			copy(b[257:265], "ustar  \x00")
			copy(b[386:410], "00000000000\x0000000000001\x00")
			copy(b[483:495], "00000000001\x00")
		})), Options{}, "./f: sparse file"},
		{"huge PAX header", raw(patchTar(buildTar(t, file("./f", long(2<<20))), func(b []byte) { b[156] = tar.TypeXHeader })), Options{}, "field too long"},
		{"no end of archive", raw(buildTar(t, dir("./"))[:512]), Options{}, "ends without two zero blocks"},
		{"half an end of archive", raw(buildTar(t, dir("./"))[:1024]), Options{}, "ends without two zero blocks"},
		{"data after the end", raw(append(bytes.Clone(empty), empty...)), Options{}, "data after the end of the tar archive"},
		{"empty data member", raw(nil), Options{}, "ends without two zero blocks"},
		{"half a header", raw(empty[:100]), Options{}, "data.tar: after 0 entries: unexpected EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readAll(c.deb, c.opt)
			if err == nil {
				t.Fatalf("accepted, want an error with %q", c.want)
			}
			var e *Error
			if !errors.As(err, &e) || e.Deb != "test.deb" {
				t.Errorf("error %T %v: want an *Error that names test.deb", err, err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant …%s…", err, c.want)
			}
			if len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("message unfit for a terminal: %q", err)
			}
		})
	}
}
