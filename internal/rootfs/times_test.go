package rootfs_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"distroless/internal/debian/deb"
	"distroless/internal/rootfs"
)

func unpackError(t *testing.T, p pkg) error {
	t.Helper()
	data, err := p.Build()
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = rootfs.Unpack(t.Context(), bytes.NewReader(data), p.Name+".deb", deb.Options{}, func(string) bool { return true })
	return err
}

func at(sec int64) time.Time { return time.Unix(sec, 0) }

// timesOf lists the times in a layer.
func timesOf(l rootfs.Layer) map[string]int64 {
	m := map[string]int64{}
	for _, e := range l.Entries {
		m[e.Path] = e.MTime
	}
	return m
}

// Times come from the packages, and from those of the layer itself: a layer
// whose directories are as old as another layer's package changes with it.
func TestTimes(t *testing.T) {
	in := rootfs.Input{
		Layers: map[string]string{"new": "src"},
		Users:  []rootfs.User{{Name: "root", Home: "/root"}}, Groups: []rootfs.Group{{Name: "root"}},
		Contents: []rootfs.Content{{Entry: rootfs.Entry{Path: "/app/x", Kind: rootfs.File, Mode: 0o644}}},
	}
	packages := []pkg{
		{Name: "old", Time: at(100), Files: files(text("usr/share/old", "o"), file{Path: "usr/share/older", Data: "o", Time: at(90)}, file{Path: "usr/folder", Type: '5', Time: at(300)})},
		{Name: "new", Time: at(900), Files: files(text("usr/share/new", "n"))},
	}
	l := level(t, in, packages...)
	layers := l.Layers()
	own, common := timesOf(layers[0]), timesOf(layers[1])
	for _, tt := range []struct {
		what      string
		got, want int64
	}{
		{"a file", common["/usr/share/old"], 100}, {"an older one", common["/usr/share/older"], 90},
		{"a package's directory", common["/usr/folder"], 300}, {"a directory of two layers, here", common["/usr/share"], 100}, {"and there", own["/usr/share"], 900},
		{"its status", common["/var/lib/dpkg/status.d/old"], 100}, {"the other's", own["/var/lib/dpkg/status.d/new"], 900},
		{"a generated file: the newest of its layer", common["/etc/passwd"], 100}, {"a local file", common["/app/x"], 100}, {"its directory", common["/app"], 100},
		{"the tree", l.Tree.Newest(), 900},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %d, want %d", tt.what, tt.got, tt.want)
		}
	}

	// A level without packages is as old as what it stands on.
	upper := level(t, rootfs.Input{Lower: l.Tree, Contents: []rootfs.Content{{Entry: rootfs.Entry{Path: "/app/y", Kind: rootfs.File, Mode: 0o644}}}})
	if got := timesOf(upper.Layers()[0]); got["/app/y"] != 900 || got["/app"] != 900 {
		t.Error(got)
	}

	// SOURCE_DATE_EPOCH bounds them all, and touches nothing older.
	bound := int64(95)
	in.Epoch = &bound
	clamped := level(t, in, packages...)
	for _, layer := range clamped.Layers() {
		for p, mtime := range timesOf(layer) {
			if mtime > bound || p == "/usr/share/older" && mtime != 90 {
				t.Errorf("%s: %d", p, mtime)
			}
		}
	}
	if got := clamped.Tree.Newest(); got != bound {
		t.Errorf("the tree: %d", got)
	}
}

// Listings are remembered as JSON: what comes back must be what was read, with
// capabilities, which are no text.
func TestListingRoundTrip(t *testing.T) {
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\xff\xfe"
	listings, _ := unpack(t, pkg{Name: "aa", Replaces: "bb", Conffiles: []string{"/etc/x"}, Scripts: map[string]string{"postinst": "#!/bin/sh\nexit \xff\n", "prerm": "no"},
		Files: files(text("etc/x", "x"), file{Path: "usr/bin/ping", Data: "#!/bin/sh -e \necho", Mode: 0o755, PAX: map[string]string{"SCHILY.xattr.security.capability": capability}},
			symlink("l", "etc/x"), hardlink("h", "etc/x"), text("usr/share/doc/a/copyright", "/usr/share/common-licenses/GPL-2"))})
	data, err := json.Marshal(listings[0])
	if err != nil {
		t.Fatal(err)
	}
	back := new(rootfs.Listing)
	if err := json.Unmarshal(data, back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(listings[0], back) {
		t.Errorf("read\n%+v\nback\n%+v", listings[0], back)
	}
	if _, ok := back.Scripts["prerm"]; ok {
		t.Error("prerm counts, though nothing is removed from an image")
	}
	for _, e := range back.Entries {
		if e.Path == "/usr/bin/ping" && (string(e.Xattrs["security.capability"]) != capability || e.Interp != "/bin/sh -e") {
			t.Errorf("%+v", e)
		}
	}
}

// Packages come from as many goroutines as there are cores, in any order; the
// layers must not tell.
func TestAnyOrder(t *testing.T) {
	names := []string{"usr/a", "usr/b/c", "usr/b/d", "etc/x", "opt/y/z", "bin/p", "lib/q"}
	rapid.Check(t, func(rt *rapid.T) {
		var packages []pkg
		for i, n := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"aa", "bb", "base-files", "cc", "dd", "ee"}), 2, 5, rapid.ID).Draw(rt, "packages") {
			p := pkg{Name: n, Time: at(int64(1000 * (i + 1))), Replaces: "aa, bb, cc, dd, ee, base-files"}
			for _, f := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 4, rapid.ID).Draw(rt, "files") {
				p.Files = append(p.Files, text(f+"-"+n, n), mode(dir(f+"-dir"), int64(rapid.SampledFrom([]int{0o755, 0o700}).Draw(rt, "mode"))))
			}
			packages = append(packages, p)
		}
		in := rootfs.Input{MergedUsr: rapid.Bool().Draw(rt, "merged"), Layers: map[string]string{"bb": "src", "dd": "src"}}
		first := level(t, in, packages...).Layers()
		shuffled := append([]pkg(nil), packages...)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		second := level(t, in, shuffled...).Layers()
		if !reflect.DeepEqual(first, second) {
			rt.Fatalf("in another order\n%+v\nwere\n%+v", second, first)
		}
	})
}

// FuzzUnpack: a .deb from anywhere gives a listing or an error, and a listing
// can be assembled or is refused.
func FuzzUnpack(f *testing.F) {
	for _, p := range []pkg{
		{Name: "aa"},
		{Name: "aa", Files: files(text("usr/x", "x"), hardlink("usr/y", "usr/x"), symlink("lib", "usr"), program("lib64/z", "\x7fELF\x02\x01\x01"))},
	} {
		data, err := p.Build()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, _, err := rootfs.Unpack(t.Context(), bytes.NewReader(data), "x.deb", deb.Options{MaxUnpacked: 1 << 20}, func(string) bool { return false })
		if err != nil {
			return
		}
		for _, merged := range []bool{false, true} {
			in := rootfs.Input{Packages: []*rootfs.Listing{l}, MergedUsr: merged, Slices: []rootfs.Slice{{Drop: []string{"/usr/**"}, Keep: []string{"/usr/*"}}},
				Read: func(*rootfs.Entry) ([]byte, error) { return nil, nil }}
			if lv, err := rootfs.Assemble(in); err == nil {
				lv.Layers()
			}
		}
	})
}

// BenchmarkAssemble is a level the size of cc: 1500 files of 20 packages.
func BenchmarkAssemble(b *testing.B) {
	var packages []pkg
	for i := range 20 {
		p := pkg{Name: "pp" + string(rune('a'+i))}
		for j := range 75 {
			p.Files = append(p.Files, text("usr/lib/"+p.Name+"/d"+string(rune('a'+j%25))+"/f"+string(rune('a'+j/25)), "x"), text("usr/share/man/"+p.Name+"/"+string(rune('a'+j%25))+string(rune('a'+j/25)), "x"))
		}
		packages = append(packages, p)
	}
	listings, _ := unpack(b, packages...)
	in := rootfs.Input{Packages: listings, MergedUsr: true, Arch: "amd64", Slices: []rootfs.Slice{{Drop: []string{"/usr/share/man/**"}}, {Drop: []string{"/usr/share/doc/**"}, Keep: []string{"/usr/share/doc/*/copyright"}}}}
	b.ReportAllocs()
	for b.Loop() {
		l, err := rootfs.Assemble(in)
		if err != nil {
			b.Fatal(err)
		}
		l.Layers()
	}
}
