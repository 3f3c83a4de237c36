package archivetest

import (
	"archive/tar"
	"bytes"
	"crypto/md5"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Epoch is the time of files and archives whose time nobody chose.
func Epoch() time.Time { return time.Date(2025, 8, 9, 12, 0, 0, 0, time.UTC) }

// Package is what a .deb is made of. Only Name is needed.
type Package struct {
	Name    string
	Version string // "" means 1.0-1
	Arch    string // "" means amd64
	Source  string // the Source field, where it is not the package itself

	Depends, PreDepends, Recommends, Provides, Conflicts, Breaks, Replaces string

	MultiArch string
	Fields    map[string]string // further control fields
	Files     []File
	Scripts   map[string]string // further members of control.tar: postinst, triggers, ...
	Conffiles []string          // absolute paths; md5sums leaves them out, as debhelper's does
	NoSums    bool              // no md5sums at all
	// Compression of both members: none (the default), gz, xz or zst. Data and
	// Control choose for one member.
	Compression, Data, Control string
	Time                       time.Time // of its files; zero means Epoch
	Component                  string    // in the archive; "" means main
	// Raw leaves the names of Files as they are and adds no parents, for
	// packages that no tool would build.
	Raw bool
}

// File is an entry of a package's data.tar.
type File struct {
	Path     string // usr/bin/x; "./" is put before it
	Type     byte   // tar.TypeReg and so on; 0 is told from the other fields
	Mode     int64  // Unix bits, 04755 for set-uid; 0 means 0755 or 0644
	Data     string
	Target   string // of a link
	UID, GID int
	Time     time.Time         // zero means the package's
	PAX      map[string]string // records such as SCHILY.xattr.security.capability
}

// Text is a file of mode 0644.
func Text(name, data string) File { return File{Path: name, Data: data} }

// Exec is a file of mode 0755.
func Exec(name, data string) File { return File{Path: name, Data: data, Mode: 0o755} }

// Dir is a directory of mode 0755.
func Dir(name string) File { return File{Path: name, Type: tar.TypeDir} }

// Symlink is a symbolic link.
func Symlink(name, target string) File {
	return File{Path: name, Type: tar.TypeSymlink, Target: target}
}

// Hardlink is another name of the package's file target.
func Hardlink(name, target string) File { return File{Path: name, Type: tar.TypeLink, Target: target} }

// withDefaults fills in what every package has.
func (p Package) withDefaults() Package {
	for _, d := range []struct {
		field *string
		value string
	}{{&p.Version, "1.0-1"}, {&p.Arch, "amd64"}, {&p.Component, "main"}, {&p.Compression, "none"}} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	if p.Data == "" {
		p.Data = p.Compression
	}
	if p.Control == "" {
		p.Control = p.Compression
	}
	if p.Time.IsZero() {
		p.Time = Epoch()
	}
	return p
}

// Paragraph returns the package's control file.
func (p Package) Paragraph() string {
	p = p.withDefaults()
	var b strings.Builder
	for _, f := range [][2]string{
		{"Package", p.Name}, {"Source", p.Source}, {"Version", p.Version}, {"Architecture", p.Arch},
		{"Maintainer", "Nobody <nobody@example.org>"},
		{"Pre-Depends", p.PreDepends}, {"Depends", p.Depends}, {"Recommends", p.Recommends}, {"Provides", p.Provides},
		{"Conflicts", p.Conflicts}, {"Breaks", p.Breaks}, {"Replaces", p.Replaces}, {"Multi-Arch", p.MultiArch},
	} {
		if _, given := p.Fields[f[0]]; f[1] != "" && !given {
			fmt.Fprintf(&b, "%s: %s\n", f[0], f[1])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Fields)) {
		fmt.Fprintf(&b, "%s: %s\n", name, p.Fields[name])
	}
	if _, given := p.Fields["Description"]; !given {
		fmt.Fprintf(&b, "Description: package %s of a test\n", p.Name)
	}
	return b.String()
}

// Build returns the .deb. The same Package gives the same bytes.
func (p Package) Build() ([]byte, error) {
	p = p.withDefaults()
	data, sums, err := p.dataTar()
	if err != nil {
		return nil, fmt.Errorf("build %s: data.tar: %w", p.Name, err)
	}
	control, err := p.controlTar(sums)
	if err != nil {
		return nil, fmt.Errorf("build %s: control.tar: %w", p.Name, err)
	}
	var out bytes.Buffer
	out.WriteString("!<arch>\n")
	member(&out, "debian-binary", p.Time, []byte("2.0\n"))
	for _, m := range []struct {
		name, compression string
		data              []byte
	}{{"control.tar", p.Control, control}, {"data.tar", p.Data, data}} {
		packed, err := Compress(m.compression, m.data)
		if err != nil {
			return nil, fmt.Errorf("build %s: %w", p.Name, err)
		}
		member(&out, m.name+extension(m.compression), p.Time, packed)
	}
	return out.Bytes(), nil
}

// member writes an ar member. See deb(5) and ar(5).
func member(out *bytes.Buffer, name string, at time.Time, data []byte) {
	fmt.Fprintf(out, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, at.Unix(), 0, 0, "100644", len(data))
	out.Write(data)
	if len(data)%2 == 1 {
		out.WriteByte('\n')
	}
}

func extension(compression string) string {
	if compression == "none" {
		return ""
	}
	return "." + compression
}

// Compress packs data as none, gz, xz or zst.
func Compress(kind string, data []byte) ([]byte, error) {
	switch kind {
	case "none":
		return data, nil
	case "gz":
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
		err := w.Close()
		return b.Bytes(), err
	case "xz":
		return XZ(data), nil
	case "zst":
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer w.Close()
		return w.EncodeAll(data, nil), nil
	}
	return nil, fmt.Errorf("compression %q, want none, gz, xz or zst", kind)
}

// controlTar writes the control member.
func (p Package) controlTar(sums string) ([]byte, error) {
	files := []File{Text("control", p.Paragraph())}
	if len(p.Conffiles) > 0 {
		files = append(files, Text("conffiles", strings.Join(p.Conffiles, "\n")+"\n"))
	}
	if sums != "" && !p.NoSums {
		files = append(files, Text("md5sums", sums))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Scripts)) {
		files = append(files, Exec(name, p.Scripts[name]))
	}
	p.Files, p.Raw = files, false
	data, _, err := p.dataTar()
	return data, err
}

// dataTar writes the files, parents before children, and returns the lines of
// md5sums besides.
func (p Package) dataTar() (data []byte, sums string, err error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	seen := map[string]bool{}
	var md5sums strings.Builder
	put := func(f File) error {
		h := p.header(f)
		if err := w.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		if h.Typeflag != tar.TypeReg {
			return nil
		}
		if !slices.Contains(p.Conffiles, path.Clean("/"+f.Path)) {
			fmt.Fprintf(&md5sums, "%x  %s\n", md5.Sum([]byte(f.Data)), path.Clean(f.Path))
		}
		_, err := w.Write([]byte(f.Data))
		return err
	}
	var parents func(dir string) error
	parents = func(dir string) error {
		if seen[dir] {
			return nil
		}
		seen[dir] = true
		if dir != "." {
			if err := parents(path.Dir(dir)); err != nil {
				return err
			}
		}
		return put(Dir(dir))
	}
	if !p.Raw {
		if err := parents("."); err != nil {
			return nil, "", err
		}
	}
	for _, f := range p.Files {
		if clean := path.Clean(f.Path); !p.Raw {
			if err := parents(path.Dir(clean)); err != nil {
				return nil, "", err
			}
			seen[clean] = true
		}
		if err := put(f); err != nil {
			return nil, "", err
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return out.Bytes(), md5sums.String(), nil
}

// header returns a file's tar header, as dpkg-deb names things.
func (p Package) header(f File) *tar.Header {
	h := &tar.Header{
		Typeflag: f.Type, Name: f.Path, Linkname: f.Target, Mode: f.Mode, Uid: f.UID, Gid: f.GID,
		Uname: "root", Gname: "root", ModTime: f.Time, Format: tar.FormatGNU, PAXRecords: f.PAX,
	}
	if len(f.PAX) > 0 {
		h.Format = tar.FormatPAX
	}
	if h.ModTime.IsZero() {
		h.ModTime = p.Time
	}
	if h.Typeflag == 0 {
		h.Typeflag = tar.TypeReg
	}
	if h.Mode == 0 {
		h.Mode = map[byte]int64{tar.TypeDir: 0o755, tar.TypeSymlink: 0o777}[h.Typeflag]
		if h.Mode == 0 {
			h.Mode = 0o644
		}
	}
	if h.Typeflag == tar.TypeReg {
		h.Size = int64(len(f.Data))
	}
	if p.Raw {
		return h
	}
	h.Name = "./" + strings.TrimPrefix(path.Clean(f.Path), ".")
	if h.Typeflag == tar.TypeDir && h.Name != "./" {
		h.Name += "/"
	}
	if h.Typeflag == tar.TypeLink {
		h.Linkname = "./" + path.Clean(f.Target)
	}
	return h
}
