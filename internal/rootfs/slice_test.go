package rootfs_test

import (
	"testing"

	"distroless/internal/rootfs"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		glob, path string
		want       bool
	}{
		{"/etc/passwd", "/etc/passwd", true},
		{"/etc/passwd", "/etc/passwd-", false},
		{"/etc", "/etc/passwd", false},
		{"/etc/*", "/etc/passwd", true},
		{"/etc/*", "/etc/ssl/certs", false},
		{"/etc/*", "/etc", false},
		{"/etc/*.conf", "/etc/ld.so.conf", true},
		{"/etc/?", "/etc/a", true},
		{"/etc/?", "/etc/ab", false},
		{"/etc/[a-c]x", "/etc/bx", true},
		{"/**", "/a", true},
		{"/**", "/a/b/c", true},
		{"/**", "/", false},
		{"/etc/**", "/etc", false},
		{"/etc/**", "/etc/a", true},
		{"/etc/**", "/etcetera/a", false},
		{"/**/a", "/a", true},
		{"/**/a", "/b/c/a", true},
		{"/**/a", "/b/c/a/d", false},
		{"/usr/**/x", "/usr/x", true},
		{"/usr/**/x", "/usr/1/2/x", true},
		{"/usr/**/x", "/usr/1/2/xx", false},
		{"/usr/lib/*/libx.so", "/usr/lib/x86_64-linux-gnu/libx.so", true},
		{"/usr/lib/*/libx.so", "/usr/lib/libx.so", false},
		{"/a/**/b/**", "/a/b/c", true},
		{"/a/**/b/**", "/a/1/b/c/d", true},
		{"/a/**/b/**", "/a/1/b", false},
		{"/a/**/**", "/a/b", true},
	} {
		if got := rootfs.Match(tt.glob, tt.path); got != tt.want {
			t.Errorf("%s matches %s: %v, want %v", tt.glob, tt.path, got, tt.want)
		}
	}
}

// The last rule that speaks of a path decides, and in a rule keep beats drop:
// so a definition can give back what the catalogue drops.
func TestSlices(t *testing.T) {
	a := pkg{Name: "aa", Files: files(
		text("usr/share/doc/a/copyright", "c"), text("usr/share/doc/a/README", "r"), text("usr/share/doc/a/examples/x", "x"),
		text("usr/share/man/man1/a.1.gz", "m"), program("usr/bin/a", "a"), dir("var/lib/a"), symlink("usr/bin/manual", "../share/man/man1/a.1.gz"),
	)}
	b := pkg{Name: "bb", Files: files(text("usr/share/doc/b/README", "rb"), symlink("usr/share/doc/b/more", "../a/README"))}
	docs := rootfs.Slice{Drop: []string{"/usr/share/doc/**", "/usr/share/man/**"}, Keep: []string{"/usr/share/doc/*/copyright"}}
	for _, tt := range []struct {
		name  string
		rules []rootfs.Slice
		want  tree
	}{
		{"documentation", []rootfs.Slice{docs}, tree{"/usr/share/doc/a/copyright": is("c"), "/usr/bin/a": runs("a")}},
		{"given back to all", []rootfs.Slice{docs, {Keep: []string{"/usr/share/doc/*/README"}}},
			tree{"/usr/share/doc/a/copyright": is("c"), "/usr/bin/a": runs("a"), "/usr/share/doc/a/README": is("r"), "/usr/share/doc/b/README": is("rb")}},
		{"given back to one", []rootfs.Slice{docs, {Package: "bb", Keep: []string{"/usr/share/doc/**"}}},
			tree{"/usr/share/doc/a/copyright": is("c"), "/usr/bin/a": runs("a"), "/usr/share/doc/b/README": is("rb")}},
		{"dropped after all", []rootfs.Slice{{Keep: []string{"/**"}}, {Package: "aa", Drop: []string{"/**"}}},
			tree{"/usr/share/doc/b/README": is("rb")}},
		{"moved", []rootfs.Slice{docs, {Package: "aa", Move: map[string]string{"/usr/bin/a": "/opt/a/a"}}},
			tree{"/usr/share/doc/a/copyright": is("c"), "/opt/a/a": runs("a")}},
		{"moved and dropped", []rootfs.Slice{{Drop: []string{"/**"}}, {Package: "aa", Move: map[string]string{"/usr/bin/a": "/opt/a/a"}}}, tree{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := level(t, rootfs.Input{Slices: tt.rules}, a, b)
			check(t, dump(l), tt.want)
			// What a slice has emptied goes, what was empty before stays.
			if l.Tree.Lookup("/usr/share/man") != nil {
				t.Error("the emptied /usr/share/man is there")
			}
			if tt.name == "documentation" && (l.Tree.Lookup("/var/lib/a") == nil || l.Tree.Lookup("/usr/share/doc/a/examples") != nil) {
				t.Error("/var/lib/a is gone, or /usr/share/doc/a/examples is there")
			}
		})
	}
	wantError(t, "package aa: /opt/x is in it twice", rootfs.Input{Slices: []rootfs.Slice{{Package: "aa",
		Move: map[string]string{"/usr/bin/a": "/opt/x", "/usr/share/doc/a/README": "/opt/x"}}}}, a)
}

// Only the bytes that an image can need are kept in memory.
func TestWanted(t *testing.T) {
	rules := []rootfs.Slice{{Drop: []string{"/usr/bin/**", "/usr/share/ca-certificates/**", "/l/**"}, KeepReferenced: []string{"/l/*"}}}
	wanted := rootfs.Wanted(rules, "a", true)
	for p, want := range map[string]bool{"/bin/a": false, "/usr/bin/a": false, "/etc/a": true, "/usr/share/ca-certificates/x.crt": true, "/l/x": true, "/l/x/y": false} {
		if wanted(p) != want {
			t.Errorf("%s: %v", p, !want)
		}
	}
}

// Licence texts that copyright files name are in the image, in the lowest level
// that has a package naming them and only there: copyright asks for the text,
// and 300 kB of others would be waste.
func TestReferencedLicences(t *testing.T) {
	const at = "usr/share/common-licenses/"
	base := pkg{Name: "base-files", Files: files(text(at+"GPL-2", "two"), text(at+"GPL-3", "three"), symlink(at+"GPL", "GPL-3"), text(at+"MPL-1.1", "mpl"), text(at+"BSD", "bsd"))}
	naming := func(name, words string) pkg {
		return pkg{Name: name, Files: files(text("usr/share/doc/"+name+"/copyright", words))}
	}
	rules := []rootfs.Slice{{Package: "base-files", Drop: []string{"/**"}, KeepReferenced: []string{"/usr/share/common-licenses/*"}}}
	one := level(t, rootfs.Input{Slices: rules}, base, naming("aa", "see /usr/share/common-licenses/GPL-2."))
	check(t, dump(one), tree{"/usr/share/common-licenses/GPL-2": is("two"), "/usr/share/doc/aa/copyright": is("see /usr/share/common-licenses/GPL-2.")})

	two := level(t, rootfs.Input{Lower: one.Tree, Slices: rules}, naming("bb", "`/usr/share/common-licenses/GPL' and /usr/share/common-licenses/GPL-2"))
	check(t, dump(two), tree{
		"/usr/share/common-licenses/GPL": "symlink GPL-3", "/usr/share/common-licenses/GPL-3": is("three"),
		"/usr/share/doc/bb/copyright": is("`/usr/share/common-licenses/GPL' and /usr/share/common-licenses/GPL-2"),
	})
	// The list of files says what is there by now.
	for l, want := range map[*rootfs.Level]string{one: "GPL-2", two: "GPL-2 GPL-3"} {
		if got := licences(l); got != want {
			t.Errorf("base-files.md5sums lists %q, want %q", got, want)
		}
	}
	three := level(t, rootfs.Input{Lower: two.Tree, Slices: rules}, naming("cc", "/usr/share/common-licenses/GPL-3"))
	check(t, dump(three), tree{"/usr/share/doc/cc/copyright": is("/usr/share/common-licenses/GPL-3")})

	// A copyright file that is not in the image asks for nothing.
	none := level(t, rootfs.Input{Slices: append(rules, rootfs.Slice{Drop: []string{"/usr/share/doc/**"}})}, base, naming("aa", "/usr/share/common-licenses/GPL-2"))
	check(t, dump(none), tree{})
}
