package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"distroless/internal/oci/layer"
	"distroless/internal/rootfs"
	"distroless/internal/testenv"
)

// maker makes entries with the bytes of their files.
type maker struct {
	entries []rootfs.Entry
	bytes   map[string][]byte
}

func (m *maker) add(e rootfs.Entry, data string) {
	if e.Mode == 0 {
		e.Mode = map[rootfs.Kind]uint32{rootfs.Dir: 0o755, rootfs.File: 0o644}[e.Kind]
	}
	e.MTime = 1_700_000_000
	if e.Kind == rootfs.File {
		sum := sha256.Sum256([]byte(data))
		e.Digest, e.Size = hex.EncodeToString(sum[:]), int64(len(data))
		if m.bytes == nil {
			m.bytes = map[string][]byte{}
		}
		m.bytes[e.Digest] = []byte(data)
	}
	m.entries = append(m.entries, e)
}

func (m *maker) read(e *rootfs.Entry) ([]byte, error) {
	b, ok := m.bytes[e.Digest]
	if !ok {
		return nil, fmt.Errorf("no bytes of %s", e.Path)
	}
	return b, nil
}

// words is text that compresses, the same for the same seed.
func words(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "word%d ", r.IntN(500))
	}
	return b.String()[:n]
}

// sample is a layer with one of each.
func sample() *maker {
	m := new(maker)
	m.add(rootfs.Entry{Path: "/"}, "")
	m.add(rootfs.Entry{Path: "/usr/bin/a-hard-link", Kind: rootfs.Hardlink, Target: "/usr/bin/program"}, "")
	m.add(rootfs.Entry{Path: "/usr/bin/program", Kind: rootfs.File, Mode: 0o4755, Xattrs: map[string][]byte{"security.capability": []byte("\x01\x00\xff"), "user.x": []byte("y")}}, words(1, 5000))
	m.add(rootfs.Entry{Path: "/usr/bin/link", Kind: rootfs.Symlink, Target: "program"}, "")
	m.add(rootfs.Entry{Path: "/usr/bin"}, "")
	m.add(rootfs.Entry{Path: "/usr"}, "")
	m.add(rootfs.Entry{Path: "/tmp", Mode: 0o1777}, "")
	m.add(rootfs.Entry{Path: "/usr/empty", Kind: rootfs.File}, "")
	m.add(rootfs.Entry{Path: "/usr/owned", Kind: rootfs.File, UID: 65532, GID: 65532}, "mine")
	m.add(rootfs.Entry{Path: "/usr/" + strings.Repeat("long/", 30) + "name", Kind: rootfs.File}, "deep")
	m.add(rootfs.Entry{Path: "/usr/Főtanúsítvány", Kind: rootfs.File}, "ü")
	return m
}

// big is a layer over the bound from which gzip works on several cores.
func big() *maker {
	m := new(maker)
	text := strings.Repeat(words(2, 1<<17), 9)
	for i := range 17 {
		m.add(rootfs.Entry{Path: fmt.Sprintf("/f%02d", i), Kind: rootfs.File}, text[i:i+1<<20])
	}
	return m
}

func write(t testing.TB, m *maker, compression string) ([]byte, layer.Blob) {
	t.Helper()
	c, err := layer.ParseCompression(compression)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	blob, err := layer.Write(t.Context(), &b, m.entries, m.read, c)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	if blob.Digest != "sha256:"+hex.EncodeToString(sum[:]) || blob.Size != int64(b.Len()) {
		t.Errorf("%s: %d bytes, the blob says %+v", compression, b.Len(), blob)
	}
	return b.Bytes(), blob
}

func unpack(t testing.TB, mediaType string, data []byte) []byte {
	t.Helper()
	r := io.Reader(bytes.NewReader(data))
	var err error
	switch {
	case strings.HasSuffix(mediaType, "+gzip"):
		r, err = gzip.NewReader(r)
	case strings.HasSuffix(mediaType, "+zstd"):
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What a runtime unpacks: parents before what lies in them, hard links after
// their targets, no entry for the root, whose mode is the runtime's; owners,
// set-id bits, attributes and times as given.
func TestTar(t *testing.T) {
	m := sample()
	data, blob := write(t, m, "none")
	if blob.MediaType != "application/vnd.oci.image.layer.v1.tar" || blob.DiffID != blob.Digest || blob.Unpacked != blob.Size {
		t.Errorf("%+v", blob)
	}
	want := map[string]rootfs.Entry{}
	for _, e := range m.entries {
		want[e.Path] = e
	}
	seen := map[string]bool{"/": true}
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		p := "/" + strings.TrimSuffix(h.Name, "/")
		e, ok := want[p]
		if !ok || seen[p] {
			t.Errorf("%s: not an entry, or twice", h.Name)
			continue
		}
		seen[p] = true
		if above := p[:max(1, strings.LastIndexByte(p, '/'))]; !seen[above] && want[above].Path != "" {
			t.Errorf("%s comes before %s", p, above)
		}
		if h.Mode != int64(e.Mode) || h.Uid != e.UID || h.Gid != e.GID || h.ModTime.Unix() != e.MTime || h.Uname+h.Gname != "" || !h.AccessTime.IsZero() || !h.ChangeTime.IsZero() {
			t.Errorf("%s: %+v", p, h)
		}
		switch e.Kind {
		case rootfs.Dir:
			if h.Typeflag != tar.TypeDir || !strings.HasSuffix(h.Name, "/") {
				t.Errorf("%s: %+v", p, h)
			}
		case rootfs.Symlink:
			if h.Typeflag != tar.TypeSymlink || h.Linkname != e.Target {
				t.Errorf("%s: %+v", p, h)
			}
		case rootfs.Hardlink:
			if h.Typeflag != tar.TypeLink || "/"+h.Linkname != e.Target || !seen[e.Target] {
				t.Errorf("%s: %+v, the target was there before: %v", p, h, seen[e.Target])
			}
		case rootfs.File:
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, m.bytes[e.Digest]) || h.Typeflag != tar.TypeReg {
				t.Errorf("%s: %d bytes, error %v, %+v", p, len(got), err, h)
			}
			for k, v := range e.Xattrs {
				if h.PAXRecords["SCHILY.xattr."+k] != string(v) {
					t.Errorf("%s: %q", p, h.PAXRecords)
				}
			}
		}
	}
	if len(seen) != len(m.entries) {
		t.Errorf("%d entries, want %d", len(seen), len(m.entries))
	}
}

// Fixed input gives these bytes. A digest that changes here means that every
// image of every user changes with the next release: if that is meant (another
// version of the compressor, another order), tarVersion or the compressor's
// version must change with it, since layers are remembered under them.
func TestGolden(t *testing.T) {
	for _, tt := range []struct{ compression, mediaType, digest string }{
		{"none", "", "sha256:a3ace76279ea6ffe6481bf2809650acb86b43bcaf839ad6a80d5c3d4d90ff70c"},
		{"gzip", "+gzip", "sha256:42ee4a82101350bd2e37e05506f95760ad10fe04e3bed46ceffc0dc0754e08e4"},
		{"gzip:9", "+gzip", "sha256:a09fa75154e4e2dcbb77340e8dee33318ba15b179d54e21e35ae938a30b73836"},
		{"zstd", "+zstd", "sha256:ab1f9e84cb9ca1698e35e53941c90267bdca5755f856e92c8804c9068215054c"},
		{"zstd:3", "+zstd", "sha256:614619d6c43efa28338cd15934e9a00011c4a821132b9e70f114f6ee6b9ad020"},
		{"zstd:19", "+zstd", "sha256:ab1f9e84cb9ca1698e35e53941c90267bdca5755f856e92c8804c9068215054c"},
	} {
		data, blob := write(t, sample(), tt.compression)
		if blob.Digest != tt.digest {
			t.Errorf("%s: digest %s, want %s", tt.compression, blob.Digest, tt.digest)
		}
		if blob.MediaType != "application/vnd.oci.image.layer.v1.tar"+tt.mediaType {
			t.Errorf("%s: media type %s", tt.compression, blob.MediaType)
		}
		plain := unpack(t, blob.MediaType, data)
		if sum := sha256.Sum256(plain); blob.DiffID != "sha256:"+hex.EncodeToString(sum[:]) || blob.Unpacked != int64(len(plain)) {
			t.Errorf("%s: unpacked %x, %d bytes, the blob says %+v", tt.compression, sum, len(plain), blob)
		}
		// RFC 1952: no time, no system.
		if tt.mediaType == "+gzip" && (!bytes.Equal(data[4:8], make([]byte, 4)) || data[9] != 255) {
			t.Errorf("%s: the header tells of the machine: % x", tt.compression, data[:10])
		}
	}
}

// One core or many, and any order of entries: the same bytes.
func TestDeterministic(t *testing.T) {
	for name, m := range map[string]*maker{"small": sample(), "big": big()} {
		for _, compression := range []string{"gzip", "zstd"} {
			first := ""
			for _, cores := range []int{1, 5} {
				old := runtime.GOMAXPROCS(cores)
				shuffled := &maker{entries: append([]rootfs.Entry(nil), m.entries...), bytes: m.bytes}
				rand.Shuffle(len(shuffled.entries), func(i, j int) {
					shuffled.entries[i], shuffled.entries[j] = shuffled.entries[j], shuffled.entries[i]
				})
				data, blob := write(t, shuffled, compression)
				runtime.GOMAXPROCS(old)
				if first == "" {
					first = blob.Digest
					if name == "big" { // several blocks must still be one file
						unpack(t, blob.MediaType, data)
						if compression == "gzip" && !bytes.Equal(data[4:8], make([]byte, 4)) {
							t.Errorf("the header has a time: % x", data[:10])
						}
					}
				}
				if blob.Digest != first {
					t.Errorf("%s %s: another digest with %d cores", name, compression, cores)
				}
			}
		}
	}
}

// The key is what a layer is found under before it is made: everything that
// changes its bytes must change it.
func TestKey(t *testing.T) {
	seen := map[string]string{}
	add := func(what, compression string, change func(*rootfs.Entry)) {
		m := sample()
		change(&m.entries[2])
		c, err := layer.ParseCompression(compression)
		if err != nil {
			t.Fatal(err)
		}
		k := layer.Key(m.entries, c)
		if k != layer.Key(m.entries, c) {
			t.Errorf("%s: two keys", what)
		}
		if other, dup := seen[k]; dup {
			t.Errorf("%s and %s have the same key", what, other)
		}
		seen[k] = what
	}
	for what, change := range map[string]func(*rootfs.Entry){
		"nothing": func(*rootfs.Entry) {}, "path": func(e *rootfs.Entry) { e.Path += "x" }, "mode": func(e *rootfs.Entry) { e.Mode = 0o755 },
		"uid": func(e *rootfs.Entry) { e.UID = 1 }, "gid": func(e *rootfs.Entry) { e.GID = 1 }, "time": func(e *rootfs.Entry) { e.MTime++ },
		"digest": func(e *rootfs.Entry) { e.Digest = strings.Repeat("0", 64) }, "kind": func(e *rootfs.Entry) { e.Kind = rootfs.Symlink },
		"target": func(e *rootfs.Entry) { e.Target = "/x" }, "order": func(e *rootfs.Entry) { e.Like = "x" },
		"capability":         func(e *rootfs.Entry) { e.Xattrs["security.capability"] = []byte("\x01\x00\xfe") },
		"another capability": func(e *rootfs.Entry) { e.Xattrs["security.capability"] = []byte("\x01\x00\xfd") },
	} {
		add(what, "gzip", change)
	}
	for _, c := range []string{"gzip:9", "zstd", "zstd:9", "none"} {
		add(c, c, func(*rootfs.Entry) {})
	}
	m := sample()
	a := layer.Key(m.entries, layer.Compression{})
	m.entries[2].Owner, m.entries[2].Group, m.entries[2].Interp = "somebody", "else", "/bin/sh"
	if layer.Key(m.entries, layer.Compression{}) != a {
		t.Error("what is not in the archive changes the key: caches would be missed")
	}
}

func TestErrors(t *testing.T) {
	m := sample()
	fault := errors.New("no bytes")
	if _, err := layer.Write(t.Context(), io.Discard, m.entries, func(*rootfs.Entry) ([]byte, error) { return nil, fault }, layer.Compression{}); !errors.Is(err, fault) {
		t.Errorf("error %v", err)
	}
	if _, err := layer.Write(t.Context(), io.Discard, m.entries, func(*rootfs.Entry) ([]byte, error) { return []byte("short"), nil }, layer.Compression{}); err == nil || !strings.Contains(err.Error(), "5 bytes, expected ") {
		t.Errorf("error %v", err)
	}
	if _, err := layer.Write(t.Context(), full{}, m.entries, m.read, layer.Compression{}); err == nil {
		t.Error("a full disk went unseen")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := layer.Write(ctx, io.Discard, m.entries, m.read, layer.Compression{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestParseCompression(t *testing.T) {
	for text, want := range map[string]string{"gzip": "gzip", "gzip:1": "gzip:1", "zstd:22": "zstd:22", "none": "none"} {
		if c, err := layer.ParseCompression(text); err != nil || c.String() != want {
			t.Errorf("%s: %s, %v", text, c, err)
		}
	}
	for _, text := range []string{"", "xz", "gzip:", "gzip:0", "gzip:10", "zstd:23", "gzip:x", "none:1", "gzip:6:6", "GZIP"} {
		if c, err := layer.ParseCompression(text); err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("compression %q: ", text)) {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
}

// GNU tar must make of a layer what was put in.
func TestAgainstTar(t *testing.T) {
	tool := testenv.Tool(t, "tar")
	dir := t.TempDir()
	data, _ := write(t, sample(), "gzip")
	file := filepath.Join(dir, "layer.tar.gz")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := exec.Command(tool, "--numeric-owner", "--utc", "--quoting-style=literal", "-tvzf", file).CombinedOutput()
	if err != nil {
		t.Fatalf("tar -t: %v\n%s", err, list)
	}
	for _, want := range []string{
		"drwxrwxrwt 0/0               0 2023-11-14 22:13 tmp/\n", "-rwsr-xr-x 0/0            5000 2023-11-14 22:13 usr/bin/program\n",
		" usr/bin/link -> program\n", " usr/bin/a-hard-link link to usr/bin/program\n", "-rw-r--r-- 65532/65532       4 2023-11-14 22:13 usr/owned\n",
		" usr/" + strings.Repeat("long/", 30) + "name\n",
	} {
		if !strings.Contains(string(list), want) {
			t.Errorf("tar -tv has no %q:\n%s", want, list)
		}
	}
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command(tool, "--no-same-owner", "-xzf", file, "-C", out).CombinedOutput(); err != nil || len(text) > 0 {
		t.Fatalf("tar -x: %v\n%s", err, text)
	}
	a, err := os.Stat(filepath.Join(out, "usr/bin/program"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.Stat(filepath.Join(out, "usr/bin/a-hard-link")); err != nil || !os.SameFile(a, b) {
		t.Error("the hard link is another file", err)
	}
}

func BenchmarkWrite(b *testing.B) {
	for name, m := range map[string]*maker{"small": sample(), "big": big()} {
		for _, compression := range []string{"gzip", "zstd"} {
			c, err := layer.ParseCompression(compression)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(name+"/"+compression, func(b *testing.B) {
				for b.Loop() {
					blob, err := layer.Write(b.Context(), io.Discard, m.entries, m.read, c)
					if err != nil {
						b.Fatal(err)
					}
					b.SetBytes(blob.Unpacked)
				}
			})
		}
	}
}
