package rootfs_test

import (
	"crypto/md5"
	"fmt"
	"strings"
	"testing"

	"distroless/internal/rootfs"
)

const status = "/var/lib/dpkg/status.d/"

func md5of(text string) string { return fmt.Sprintf("%x", md5.Sum([]byte(text))) }

// lastly is what a package's paragraph has behind the control file's fields.
func lastly(t *testing.T, l *rootfs.Level, name string) string {
	t.Helper()
	_, rest, _ := strings.Cut(content(t, l, status+name), "of a test\n")
	return rest
}

// Configuration files stand in the paragraph, as in dpkg's own status file, and
// everything else that a package has in its list, whether the package brought
// one or not. If it fails, scanners and SBOMs know files that belong to nobody.
func TestOwnFiles(t *testing.T) {
	l := level(t, rootfs.Input{MergedUsr: true, Slices: []rootfs.Slice{{Drop: []string{"/etc/gone"}, Move: map[string]string{"/etc/from": "/etc/to"}}}},
		pkg{Name: "aa", Conffiles: []string{"/etc/a", "/etc/gone", "/etc/from", "/lib/conf"},
			Files: files(text("etc/a", "A"), text("etc/gone", "x"), text("etc/from", "f"), text("lib/conf", "l"), text("lib/a", "la"))},
		pkg{Name: "bb", NoSums: true, Conffiles: []string{"/etc/b"}, Files: files(text("etc/b", "B"), text("usr/b", "b"), hardlink("usr/c", "usr/b"), symlink("usr/d", "b"))})
	for name, want := range map[string]string{
		"aa": "Conffiles:\n /etc/a " + md5of("A") + "\n /etc/to " + md5of("f") + "\n /usr/lib/conf " + md5of("l") + "\n",
		"bb": "Conffiles:\n /etc/b " + md5of("B") + "\n",
	} {
		if got := lastly(t, l, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"aa": md5of("la") + "  usr/lib/a\n",
		"bb": md5of("b") + "  usr/b\n" + md5of("b") + "  usr/c\n",
	} {
		if got := content(t, l, status+name+".md5sums"); got != want {
			t.Errorf("%s.md5sums: %q, want %q", name, got, want)
		}
	}
}

// What takes the place of a package's file, in its own level or one above, leaves
// no line behind that says otherwise of it.
func TestReplacedFiles(t *testing.T) {
	a := pkg{Name: "aa", Conffiles: []string{"/etc/a", "/etc/b"}, Files: files(text("etc/a", "A"), text("etc/b", "B"), text("usr/one", "1"), text("usr/two", "2"), text("usr/three", "3"))}
	lower := level(t, rootfs.Input{Name: "low"}, a, pkg{Name: "bb", Replaces: "aa", Files: files(text("usr/one", "other"))})
	if got, want := content(t, lower, status+"aa.md5sums"), md5of("2")+"  usr/two\n"+md5of("3")+"  usr/three\n"; got != want {
		t.Errorf("replaced in the level: %q, want %q", got, want)
	}
	upper := level(t, rootfs.Input{Name: "up", Lower: lower.Tree, Contents: []rootfs.Content{
		{Entry: rootfs.Entry{Path: "/etc/a", Kind: rootfs.File, Mode: 0o644}, Bytes: []byte("mine")},
		{Entry: rootfs.Entry{Path: "/usr/two", Kind: rootfs.Symlink, Target: "three"}},
		{Entry: rootfs.Entry{Path: "/opt/x", Kind: rootfs.File, Mode: 0o644}, Bytes: []byte("x")},
	}}, pkg{Name: "cc", Replaces: "aa", Files: files(text("usr/three", "another"))})
	if got, want := lastly(t, upper, "aa"), "Conffiles:\n /etc/b "+md5of("B")+"\n"; got != want {
		t.Errorf("paragraph: %q, want %q", got, want)
	}
	if got := content(t, upper, status+"aa.md5sums"); got != "" {
		t.Errorf("replaced in a level above: %q", got)
	}
	if got, want := content(t, upper, status+"cc.md5sums"), md5of("another")+"  usr/three\n"; got != want {
		t.Errorf("cc.md5sums: %q, want %q", got, want)
	}
	want := `Generator: contents
Files:
 /etc/a
 /opt/x
 /usr/two

Generator: dpkg-status
Files:
 /var/lib/dpkg/status.d/aa
 /var/lib/dpkg/status.d/aa.md5sums
 /var/lib/dpkg/status.d/cc
 /var/lib/dpkg/status.d/cc.md5sums

Generator: generated-list
Files:
 /var/lib/distroless/generated/up
`
	if got := content(t, upper, rootfs.GeneratedDir+"up"); got != want {
		t.Errorf("what no package ships:\n%s\nwant\n%s", got, want)
	}
	// A level that touches none of it writes none of it again.
	if got := dump(level(t, rootfs.Input{Lower: upper.Tree}, pkg{Name: "dd", Files: files(text("usr/four", "4"))})); len(got) != 1 {
		t.Errorf("the next level has %v", got)
	}
	wantError(t, "a name that no list can hold", rootfs.Input{Name: "x", Contents: []rootfs.Content{{Entry: rootfs.Entry{Path: "/a\nb", Kind: rootfs.File}}}})
}
