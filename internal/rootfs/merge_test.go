package rootfs_test

import (
	"errors"
	"testing"

	"distroless/internal/rootfs"
)

// usrMerge are the links of a merged-usr base-files.
func usrMerge(more ...file) pkg {
	return pkg{Name: "base-files", Files: append(files(
		dir("usr/bin"), dir("usr/sbin"), dir("usr/lib"), dir("usr/lib64"),
		symlink("bin", "usr/bin"), symlink("sbin", "usr/sbin"), symlink("lib", "usr/lib"), symlink("lib64", "usr/lib64"),
	), more...)}
}

// Packages that were made for split directories must end up behind the links,
// with every link of theirs leading where it led: else a program misses its
// loader or its library.
func TestMergedUsr(t *testing.T) {
	top := tree{"/bin": "symlink usr/bin", "/sbin": "symlink usr/sbin", "/lib": "symlink usr/lib", "/lib64": "symlink usr/lib64"}
	for _, tt := range []struct {
		name  string
		files []file
		want  tree
	}{
		{"a program", files(program("bin/sh", "sh"), dir("bin")), tree{"/usr/bin/sh": runs("sh")}},
		{"a loader", files(dir("lib64"), symlink("lib64/ld.so", "/lib/x/ld.so"), text("lib/x/ld.so", "ld")),
			tree{"/usr/lib64/ld.so": "symlink /lib/x/ld.so", "/usr/lib/x/ld.so": is("ld")}},
		{"a link beside", files(text("lib/x/a.so.1", "a"), symlink("lib/x/a.so", "a.so.1")),
			tree{"/usr/lib/x/a.so.1": is("a"), "/usr/lib/x/a.so": "symlink a.so.1"}},
		{"a relative link out of /lib", files(text("usr/share/a", "a"), symlink("lib/x/a", "../../usr/share/a")),
			tree{"/usr/share/a": is("a"), "/usr/lib/x/a": "symlink ../../share/a"}},
		{"a relative link to /etc", files(text("etc/a", "a"), symlink("bin/a", "../etc/a")),
			tree{"/etc/a": is("a"), "/usr/bin/a": "symlink ../../etc/a"}},
		{"a relative link through an old path", files(text("lib/x/a", "a"), symlink("usr/lib/x/b", "../../../lib/x/a")),
			tree{"/usr/lib/x/a": is("a"), "/usr/lib/x/b": "symlink ../../../lib/x/a"}},
		{"a link from one old path to another", files(program("bin/a", "a"), symlink("sbin/a", "../bin/a")),
			tree{"/usr/bin/a": runs("a"), "/usr/sbin/a": "symlink ../bin/a"}},
		{"a hard link through old paths", files(program("bin/a", "a"), hardlink("usr/bin/b", "bin/a"), hardlink("sbin/c", "bin/a")),
			tree{"/usr/bin/a": runs("a"), "/usr/bin/b": "link /usr/bin/a", "/usr/sbin/c": "link /usr/bin/a"}},
		{"a link for the old name", files(program("usr/bin/a", "a"), symlink("bin/a", "/usr/bin/a")), tree{"/usr/bin/a": runs("a")}},
		{"a link for the new name", files(symlink("usr/bin/a", "/bin/a"), program("bin/a", "a")), tree{"/usr/bin/a": runs("a")}},
		{"the same file twice", files(text("lib/a", "a"), text("usr/lib/a", "a")), tree{"/usr/lib/a": is("a")}},
		{"names that only begin alike", files(text("library/a", "a"), text("binary", "b")), tree{"/library/a": is("a"), "/binary": is("b")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for p, s := range top {
				tt.want[p] = s
			}
			check(t, dump(level(t, rootfs.Input{MergedUsr: true}, usrMerge(), pkg{Name: "aa", Files: tt.files})), tt.want)
		})
	}
	t.Run("two files in one place", func(t *testing.T) {
		wantError(t, "package aa: /usr/lib/a is in it twice", rootfs.Input{MergedUsr: true}, pkg{Name: "aa", Files: files(text("lib/a", "1"), text("usr/lib/a", "2"))})
	})
}

// Older distros keep their directories: nothing is moved.
func TestSplitUsr(t *testing.T) {
	check(t, dump(level(t, rootfs.Input{}, pkg{Name: "aa", Files: files(program("bin/sh", "sh"), symlink("lib/x/a", "../../usr/share/a"))})),
		tree{"/bin/sh": runs("sh"), "/lib/x/a": "symlink ../../usr/share/a"})
}

// Modes are what packages and definitions say: a /tmp that is not 01777 breaks
// every program, a lost set-id bit sudo, an owner a daemon.
func TestModes(t *testing.T) {
	base := pkg{Name: "base-files", Files: files(mode(dir("tmp"), 0o1777), mode(dir("root"), 0o700), dir("var/log"))}
	other := pkg{Name: "aa", Files: files(dir("tmp"), mode(dir("root"), 0o755), text("tmp/x", "x"), mode(program("usr/bin/su", "su"), 0o4755),
		file{Path: "usr/bin/wall", Mode: 0o2755, Data: "wall", GID: 5}, file{Path: "var/log/a", Type: '5', Mode: 0o2750, UID: 7, GID: 4}, mode(text("etc/secret", "s"), 0o600))}
	check(t, dump(level(t, rootfs.Input{}, other, base)), tree{
		"/tmp": "dir 1777", "/root": "dir 0700", "/tmp/x": is("x"), "/usr/bin/su": "file 4755 " + sum("su")[:8],
		"/usr/bin/wall": "file 2755 " + sum("wall")[:8] + " 0:5", "/var/log/a": "dir 2750 7:4", "/etc/secret": "file 0600 " + sum("s")[:8],
	})
}

// A directory that a slice drops but that must be there for what it keeps in
// it has the package's mode, and no other.
func TestModeOfADroppedDirectory(t *testing.T) {
	a := pkg{Name: "aa", Files: files(mode(dir("srv/private"), 0o700), text("srv/private/keep", "k"), text("srv/private/drop", "d"), mode(dir("srv/empty"), 0o700))}
	check(t, dump(level(t, rootfs.Input{Slices: []rootfs.Slice{{Drop: []string{"/**"}, Keep: []string{"/srv/private/keep"}}}}, a)),
		tree{"/srv/private": "dir 0700", "/srv/private/keep": is("k")})
}

// A level above may say the mode of a directory that was only implied below,
// but must not change one that a package or a definition has stated.
func TestDirectoriesOfLevels(t *testing.T) {
	lower := level(t, rootfs.Input{Contents: []rootfs.Content{
		{Entry: rootfs.Entry{Path: "/run/lock", Kind: rootfs.Dir, Mode: 0o1777}},
		{Entry: rootfs.Entry{Path: "/srv/data/x", Kind: rootfs.File, Mode: 0o644}},
	}}, pkg{Name: "aa", Files: files(mode(dir("var/a"), 0o750))})
	check(t, dump(lower), tree{"/run/lock": "dir 1777", "/srv/data/x": is(""), "/var/a": "dir 0750"})
	upper := level(t, rootfs.Input{Lower: lower.Tree}, pkg{Name: "bb", Files: files(dir("run/lock"), mode(dir("var/a"), 0o777), mode(dir("srv/data"), 0o700), text("var/a/b", "b"))})
	check(t, dump(upper), tree{"/var/a": "dir 0750", "/srv/data": "dir 0700", "/var/a/b": is("b")})
	if e := upper.Tree.Lookup("/run/lock"); e.Mode != 0o1777 {
		t.Errorf("/run/lock has become %04o", e.Mode)
	}
}

// Every parent is in every layer, before what lies in it, with the tree's mode:
// a runtime makes those that are missing with modes of its own.
func TestParents(t *testing.T) {
	l := level(t, rootfs.Input{Layers: map[string]string{"aa": "src"}},
		pkg{Name: "base-files", Files: files(mode(dir("opt"), 0o711))},
		pkg{Name: "aa", Files: []file{{Path: "./opt/deep/er/file", Data: "x", Type: '0', Mode: 0o644}}, Raw: true},
		pkg{Name: "bb", Files: files(text("opt/b", "b"))})
	layers := l.Layers()
	if len(layers) != 2 || layers[0].Group != "src" || layers[1].Group != "" {
		t.Fatalf("%d layers", len(layers))
	}
	for _, layer := range layers {
		have := map[string]*rootfs.Entry{}
		for i := range layer.Entries {
			e := &layer.Entries[i]
			for p := e.Path; p != "/"; {
				p = parent(p)
				if have[p] == nil {
					t.Errorf("layer %q: %s comes without %s before it", layer.Group, e.Path, p)
				}
			}
			if have[e.Path] != nil {
				t.Errorf("layer %q: %s is in it twice", layer.Group, e.Path)
			}
			have[e.Path] = e
		}
		if e := have["/opt"]; e == nil || e.Mode != 0o711 {
			t.Errorf("layer %q: /opt is %+v", layer.Group, e)
		}
	}
}

func parent(p string) string {
	for i := len(p) - 1; i > 0; i-- {
		if p[i] == '/' {
			return p[:i]
		}
	}
	return "/"
}

// Two packages with one path: an error that names both, unless one replaces the
// other or the files are the same. A file that silently wins is another
// program's broken one.
func TestConflicts(t *testing.T) {
	a := func(replaces string, f ...file) pkg { return pkg{Name: "aa", Replaces: replaces, Files: f} }
	b := func(replaces string, f ...file) pkg { return pkg{Name: "bb", Replaces: replaces, Files: f} }
	for _, tt := range []struct {
		name string
		a, b pkg
		want tree
	}{
		{"the same file", a("", text("etc/x", "1")), b("", text("etc/x", "1")), tree{"/etc/x": is("1")}},
		{"the same link", a("", symlink("x", "y"), text("y", "")), b("", symlink("x", "y")), tree{"/x": "symlink y", "/y": is("")}},
		{"the first replaces", a("cc, bb (<< 2)", text("etc/x", "1")), b("", text("etc/x", "2")), tree{"/etc/x": is("1")}},
		{"the second replaces", a("", text("etc/x", "1")), b("aa", text("etc/x", "2")), tree{"/etc/x": is("2")}},
		{"a link to a folder and the folder", a("", symlink("opt", "srv"), dir("srv")), b("", dir("opt")), tree{"/opt": "symlink srv"}},
		{"different files", a("", text("etc/x", "1")), b("", text("etc/x", "2")), nil},
		{"a file and a folder", a("", text("etc/x", "1")), b("", dir("etc/x")), nil},
		{"a folder and a file", a("", dir("etc/x")), b("aa", text("etc/x", "2")), nil},
		{"a file and a link", a("", text("etc/x", "")), b("", symlink("etc/x", "y")), nil},
		{"a name that only begins alike", a("bbb", text("etc/x", "1")), b("aaa", text("etc/x", "2")), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := try(t, rootfs.Input{}, tt.b, tt.a)
			if tt.want != nil {
				if err != nil {
					t.Fatal(err)
				}
				check(t, dump(l), tt.want)
				return
			}
			var conflict *rootfs.ConflictError
			if !errors.As(err, &conflict) || conflict.Path != "/etc/x" || conflict.First != "aa" || conflict.Second != "bb" {
				t.Errorf("error %v", err)
			}
			// The same from level to level.
			lower := level(t, rootfs.Input{}, tt.a)
			if _, err := try(t, rootfs.Input{Lower: lower.Tree}, tt.b); !errors.As(err, &conflict) {
				t.Errorf("from level to level: error %v", err)
			}
		})
	}
	wantError(t, "merge /run/x of bb: /run of aa is not a directory", rootfs.Input{},
		a("", symlink("run", "srv"), dir("srv")), b("", text("run/x", "x")))
}

// Hard links stay with their package's file: through a link to another file or
// into another layer a program would be another, or the layer not unpack.
func TestHardlinks(t *testing.T) {
	t.Run("the target is dropped", func(t *testing.T) {
		a := pkg{Name: "aa", Files: files(program("usr/bin/a", "a"), hardlink("usr/bin/b", "usr/bin/a"), hardlink("usr/bin/c", "usr/bin/a"))}
		check(t, dump(level(t, rootfs.Input{Slices: []rootfs.Slice{{Drop: []string{"/usr/bin/a"}}}}, a)),
			tree{"/usr/bin/b": runs("a"), "/usr/bin/c": "link /usr/bin/b"})
	})
	t.Run("the target is moved", func(t *testing.T) {
		a := pkg{Name: "aa", Files: files(program("bin/a", "a"), hardlink("bin/b", "bin/a"))}
		check(t, dump(level(t, rootfs.Input{MergedUsr: true, Slices: []rootfs.Slice{{Package: "aa", Move: map[string]string{"/usr/bin/a": "/opt/a"}}}}, a)),
			tree{"/opt/a": runs("a"), "/usr/bin/b": "link /opt/a"})
	})
	t.Run("another package replaces the target", func(t *testing.T) {
		a := pkg{Name: "aa", Files: files(program("usr/bin/a", "a"), hardlink("usr/bin/b", "usr/bin/a"), hardlink("usr/bin/c", "usr/bin/a"))}
		b := pkg{Name: "bb", Replaces: "aa", Files: files(program("usr/bin/a", "other"))}
		check(t, dump(level(t, rootfs.Input{Layers: map[string]string{"aa": "src"}}, a, b)),
			tree{"/usr/bin/a": runs("other"), "/usr/bin/b": runs("a"), "/usr/bin/c": "link /usr/bin/b"})
	})
	t.Run("twins", func(t *testing.T) {
		long := string(make([]byte, 8<<10))
		l := level(t, rootfs.Input{Layers: map[string]string{"cc": "src"}},
			pkg{Name: "aa", Files: files(text("usr/x", long), text("usr/small", "s"), text("usr/small2", "s"))},
			pkg{Name: "bb", Files: files(text("usr/y", long), mode(text("usr/z", long), 0o600), hardlink("usr/a", "usr/y"))},
			pkg{Name: "cc", Files: files(text("usr/own", long))})
		check(t, dump(l), tree{
			"/usr/x": is(long), "/usr/y": "link /usr/x", "/usr/a": "link /usr/x", "/usr/z": "file 0600 " + sum(long)[:8],
			"/usr/own": is(long), "/usr/small": is("s"), "/usr/small2": is("s"),
		})
	})
}

// Assembling must not hang on, or be led astray by, links in circles or through
// each other.
func TestHostileLinks(t *testing.T) {
	l := level(t, rootfs.Input{Slices: []rootfs.Slice{{Drop: []string{"/gone/**", "/gone"}}}}, pkg{Name: "aa", Files: files(
		symlink("a", "b"), symlink("b", "a"), symlink("self", "self"), symlink("deep", "deep/er"), symlink("top", "/"),
		symlink("d/up", "../d"), text("d/x", "x"), symlink("long", "top/top/top/d/up/up/x"), text("gone/x", "x"), symlink("to", "via"), symlink("via", "gone/x"),
	)})
	for p, want := range map[string]string{"/long": "/d/x", "/top/d/up/x": "/d/x", "/a": "", "/self": "", "/deep": "", "/deep/x": "", "/to": "", "/none": "", "/d/x/y": ""} {
		got := ""
		if e := l.Tree.Resolve(p); e != nil {
			got = e.Path
		}
		if got != want {
			t.Errorf("%s leads to %q, want %q", p, got, want)
		}
	}
	for _, p := range []string{"/to", "/via"} {
		if l.Tree.Lookup(p) != nil {
			t.Errorf("%s is there though what it leads to was dropped", p)
		}
	}
	if l.Tree.Lookup("/a") == nil {
		t.Error("a link that no slice broke is gone: the closure check cannot tell of it")
	}
}
