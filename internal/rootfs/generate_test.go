package rootfs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"distroless/internal/build/buildtest"
	"distroless/internal/rootfs"
	"distroless/internal/testenv"
)

// content is a generated file's bytes.
func content(t *testing.T, l *rootfs.Level, p string) string {
	t.Helper()
	e := l.Tree.Lookup(p)
	if e == nil {
		t.Fatalf("no %s", p)
	}
	b, ok := l.Bytes[e.Digest]
	if !ok {
		t.Fatalf("no bytes of %s", p)
	}
	return string(b)
}

// licences are those that base-files.md5sums lists.
func licences(l *rootfs.Level) string {
	var out []string
	for line := range strings.Lines(string(l.Bytes[l.Tree.Lookup("/var/lib/dpkg/status.d/base-files.md5sums").Digest])) {
		out = append(out, filepath.Base(strings.TrimSpace(line)))
	}
	return strings.Join(out, " ")
}

// Accounts: getpwnam must find them, and nobody can log in. Those of levels
// above add to the ones below.
func TestAccounts(t *testing.T) {
	groups := []rootfs.Group{{Name: "root"}, {Name: "nonroot", GID: 65532, Members: []string{"a", "b"}}}
	lower := level(t, rootfs.Input{Groups: groups, Users: []rootfs.User{
		{Name: "root", Home: "/root"}, {Name: "nonroot", UID: 65532, GID: 65532, Home: "/home/nonroot"}, {Name: "nobody", UID: 65534, Home: "/nonexistent"},
	}}, pkg{Name: "base-files", Files: files(mode(dir("root"), 0o710))})
	const passwd = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\nnobody:x:65534:0:nobody:/nonexistent:/sbin/nologin\n"
	check(t, dump(lower), tree{"/etc/passwd": is(passwd), "/etc/group": is("root:x:0:\nnonroot:x:65532:a,b\n"), "/root": "dir 0710", "/home/nonroot": "dir 0700 65532:65532"})

	upper := level(t, rootfs.Input{Lower: lower.Tree, Users: []rootfs.User{{Name: "app", UID: 1000, GID: 65532, Home: "/", Shell: "/bin/sh"}}})
	check(t, dump(upper), tree{"/etc/passwd": is(passwd + "app:x:1000:65532:app:/:/bin/sh\n"), "/etc/group": is("root:x:0:\nnonroot:x:65532:a,b\n")})

	for _, tt := range []struct {
		in   rootfs.Input
		want string
	}{
		{rootfs.Input{Users: []rootfs.User{{Name: "nonroot", UID: 7}}}, "user nonroot (7): nonroot (65532) is there already"},
		{rootfs.Input{Users: []rootfs.User{{Name: "x", UID: 65532}}}, "user x (65532): nonroot (65532) is there already"},
		{rootfs.Input{Users: []rootfs.User{{Name: "x", UID: 8, GID: 9}}}, "user x: no group 9: add it under accounts.groups"},
		{rootfs.Input{Groups: []rootfs.Group{{Name: "nonroot", GID: 9}}}, "group nonroot (9): nonroot (65532) is there already"},
	} {
		tt.in.Lower = lower.Tree
		wantError(t, tt.want, tt.in)
	}
	wantError(t, "/etc/passwd (accounts): aa has it already: drop that with a slice", rootfs.Input{Users: []rootfs.User{{Name: "root"}}, Groups: groups}, pkg{Name: "aa", Files: files(text("etc/passwd", ""))})
}

// The certificate bundle: what a TLS client trusts. Certificates that the
// configuration switches off must not be in it, those of a company must.
func TestCertificates(t *testing.T) {
	const at = "usr/share/ca-certificates/"
	cert := func(name string) string { return string(buildtest.Certificate(name)) }
	ca := func(conf string) pkg {
		p := pkg{Name: "ca-certificates", Files: files(text(at+"m/B.crt", cert("B")), text(at+"m/A.crt", strings.TrimSuffix(cert("A"), "\n")), text(at+"m/note.txt", "no certificate"))}
		if conf != "" {
			p.Files = append(p.Files, text("etc/ca-certificates.conf", conf))
		}
		return p
	}
	const bundle = "/etc/ssl/certs/ca-certificates.crt"
	lower := level(t, rootfs.Input{}, ca(""))
	if got := content(t, lower, bundle); got != cert("A")+cert("B") {
		t.Errorf("all certificates by name: %s", got)
	}
	if got := content(t, level(t, rootfs.Input{}, ca("# comment\n\n!m/B.crt\nm/A.crt\n")), bundle); got != cert("A") {
		t.Errorf("with one switched off: %s", got)
	}
	if got := content(t, level(t, rootfs.Input{}, ca("m/B.crt\nm/A.crt")), bundle); got != cert("B")+cert("A") {
		t.Errorf("in the configuration's order: %s", got)
	}
	wantError(t, "/etc/ca-certificates.conf: m/C.crt is listed, but package ca-certificates 1.0-1 does not have it", rootfs.Input{}, ca("m/C.crt\n"))
	wantError(t, "no certificates under /usr/share/ca-certificates/", rootfs.Input{}, ca("!m/A.crt\n"))

	// A company's own, after the slice has dropped the single files.
	upper := level(t, rootfs.Input{Lower: lower.Tree, Certificates: []rootfs.CertificateFile{
		{Name: "own.crt", PEM: []byte("# ours\n" + cert("Own") + "\n" + cert("A") + cert("Own"))},
	}})
	if got := content(t, upper, bundle); got != cert("A")+cert("B")+cert("Own") {
		t.Errorf("with a company's own, once each: %s", got)
	}
	if got := content(t, level(t, rootfs.Input{Certificates: []rootfs.CertificateFile{{Name: "own.crt", PEM: []byte(cert("Own"))}}}), bundle); got != cert("Own") {
		t.Errorf("on nothing: %s", got)
	}
	// Added before ca-certificates comes, in one level and the next.
	below := level(t, rootfs.Input{Certificates: []rootfs.CertificateFile{{Name: "own.crt", PEM: []byte(cert("Own"))}}})
	below = level(t, rootfs.Input{Lower: below.Tree, Certificates: []rootfs.CertificateFile{{Name: "two.crt", PEM: []byte(cert("Two") + cert("A"))}}})
	if got := content(t, level(t, rootfs.Input{Lower: below.Tree, Certificates: []rootfs.CertificateFile{{Name: "three.crt", PEM: []byte(cert("Three"))}}}, ca("")), bundle); got != cert("A")+cert("B")+cert("Own")+cert("Two")+cert("Three") {
		t.Errorf("added below ca-certificates: %s", got)
	}
	for text, want := range map[string]string{
		string(buildtest.PrivateKey("Own")):               "own.crt: block 1 is a PRIVATE KEY, expected certificates only",
		cert("Own") + string(buildtest.PrivateKey("Own")): "own.crt: block 2 is a PRIVATE KEY",
		"":             "own.crt: no certificate in it",
		"\x30\x82\x01": "own.crt: not PEM: expected \"-----BEGIN CERTIFICATE-----\"; convert DER with openssl",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": "own.crt: block 1: x509: ",
	} {
		wantError(t, want, rootfs.Input{Certificates: []rootfs.CertificateFile{{Name: "own.crt", PEM: []byte(text)}}})
	}
}

// Contents of a definition do not silently replace what a package of the level
// ships, and find the directories that they need.
func TestContents(t *testing.T) {
	entry := func(p string, k rootfs.Kind, mode uint32, target, bytes string) rootfs.Content {
		return rootfs.Content{Entry: rootfs.Entry{Path: p, Kind: k, Mode: mode, Target: target}, Bytes: []byte(bytes)}
	}
	in := rootfs.Input{MergedUsr: true, Contents: []rootfs.Content{
		entry("/app/run", rootfs.File, 0o755, "", "run"), entry("/lib/x", rootfs.File, 0o644, "", "x"),
		entry("/etc/localtime", rootfs.Symlink, 0o777, "/usr/share/zoneinfo/Etc/UTC", ""), entry("/run/lock", rootfs.Dir, 0o1777, "", ""),
	}}
	check(t, dump(level(t, in, usrMerge())), tree{
		"/bin": "symlink usr/bin", "/sbin": "symlink usr/sbin", "/lib": "symlink usr/lib", "/lib64": "symlink usr/lib64",
		"/app/run": runs("run"), "/usr/lib/x": is("x"), "/etc/localtime": "symlink /usr/share/zoneinfo/Etc/UTC", "/run/lock": "dir 1777",
	})
	a := pkg{Name: "aa", Files: files(text("etc/x", "package"), dir("srv/d"))}
	wantError(t, "make /etc/x (contents): aa has it already: drop that with a slice", rootfs.Input{Contents: []rootfs.Content{entry("/etc/x", rootfs.File, 0o644, "", "mine")}}, a)
	wantError(t, "make /srv/d (contents): a directory of aa is there", rootfs.Input{Contents: []rootfs.Content{entry("/srv/d", rootfs.File, 0o644, "", "mine")}}, a)
	wantError(t, "make directory /etc/x (contents): /etc/x of aa is no directory", rootfs.Input{Contents: []rootfs.Content{entry("/etc/x", rootfs.Dir, 0o755, "", "")}}, a)
	wantError(t, "/etc/x/y of contents: /etc/x of aa is not a directory", rootfs.Input{Contents: []rootfs.Content{entry("/etc/x/y", rootfs.File, 0o644, "", "")}}, a)
	// The level above may: it is how a definition changes a file of its base.
	lower := level(t, rootfs.Input{}, a)
	check(t, dump(level(t, rootfs.Input{Lower: lower.Tree, Contents: []rootfs.Content{entry("/etc/x", rootfs.File, 0o644, "", "mine")}})), tree{"/etc/x": is("mine")})
}

// busybox is a binary with a table of applets.
func busybox(names ...string) string {
	return "\x7f code [\x00 more" + "\x00" + strings.Join(names, "\x00") + "\x00\x00 rest"
}

func TestApplets(t *testing.T) {
	names := buildtest.BusyboxNames()
	at := rootfs.Input{Applets: "/busybox/busybox"}
	l := level(t, at, pkg{Name: "busybox-static", Files: files(program("busybox/busybox", busybox(names...)))})
	want := tree{"/busybox/busybox": runs(busybox(names...))}
	for _, n := range names {
		if n != "busybox" {
			want["/busybox/"+n] = "symlink busybox"
		}
	}
	check(t, dump(l), want)
	for text, words := range map[string]string{
		"no table":                      "no table of applets in it: is it busybox?",
		busybox("[", "[["):              "a table of 2 applets, expected more",
		busybox("[", "[[", "a", "../x"): "a table of 3 applets, expected more",
	} {
		wantError(t, words, at, pkg{Name: "bb", Files: files(program("busybox/busybox", text))})
	}
	wantError(t, "no file /busybox/busybox in the level", at, pkg{Name: "bb", Files: files(program("bin/busybox", ""))})
}

// The table in a real busybox must be the list that busybox itself prints.
func TestAppletsAgainstBusybox(t *testing.T) {
	testenv.E2E(t)
	dir := t.TempDir()
	apt := testenv.Tool(t, "apt-get")
	cmd := exec.Command(apt, "download", "busybox-static")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("apt-get download: %v\n%s", err, out)
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		t.Fatal(debs, err)
	}
	if out, err := exec.Command(testenv.Tool(t, "dpkg-deb"), "-x", debs[0], dir).CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb -x: %v\n%s", err, out)
	}
	found, _ := filepath.Glob(filepath.Join(dir, "*bin/busybox"))
	more, _ := filepath.Glob(filepath.Join(dir, "usr/*bin/busybox"))
	found = append(found, more...)
	if len(found) != 1 {
		t.Fatal(found)
	}
	listed, err := exec.Command(found[0], "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(strings.Fields(string(listed)), func(s string) bool { return s == "busybox" })
	data, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	l := level(t, rootfs.Input{Applets: "/busybox/busybox"}, pkg{Name: "busybox-static", Files: files(program("busybox/busybox", string(data)))})
	var got []string
	for _, p := range l.Tree.Paths() {
		if e := l.Tree.Lookup(p); e.Kind == rootfs.Symlink {
			got = append(got, strings.TrimPrefix(p, "/busybox/"))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("links\n%v\nbusybox --list\n%v", got, want)
	}
	t.Logf("%d applets", len(got))
}

// Scanners read status.d: a paragraph per package as it came, and the list of
// what is really there, by the paths that it has in the image.
func TestStatus(t *testing.T) {
	a := pkg{Name: "aa", Version: "1:2.0-1", Source: "src (2.0-1)", Files: files(
		text("usr/share/doc/a/copyright", "c"), text("usr/share/doc/a/README", "r"), program("bin/a", "a"), program("usr/bin/moved", "m"), text("usr/share/man/m", "m"))}
	l := level(t, rootfs.Input{MergedUsr: true, Slices: []rootfs.Slice{
		{Drop: []string{"/usr/share/doc/**", "/usr/share/man/**"}, Keep: []string{"/usr/share/doc/*/copyright"}},
		{Package: "aa", Move: map[string]string{"/usr/bin/moved": "/opt/m"}},
	}}, a)
	if got := content(t, l, "/var/lib/dpkg/status.d/aa"); got != a.Paragraph() {
		t.Errorf("paragraph %q, want %q", got, a.Paragraph())
	}
	var got []string
	for line := range strings.Lines(content(t, l, "/var/lib/dpkg/status.d/aa.md5sums")) {
		digest, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok || len(digest) != 32 {
			t.Errorf("line %q", line)
		}
		got = append(got, name)
	}
	slices.Sort(got)
	if want := []string{"opt/m", "usr/bin/a", "usr/share/doc/a/copyright"}; !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	for _, p := range got {
		if l.Tree.Lookup("/"+p) == nil {
			t.Errorf("%s is listed and not there", p)
		}
	}
}

// A name that is not UTF-8 would come back changed from the cache.
func TestUnpackRefusesNames(t *testing.T) {
	for _, f := range []file{text("usr/share/caf\xe9", ""), symlink("usr/x", "caf\xe9")} {
		err := unpackError(t, pkg{Name: "aa", Files: files(f)})
		if err == nil || !strings.Contains(err.Error(), "a name that is not UTF-8") {
			t.Errorf("%q: error %v", f.Path, err)
		}
	}
	listings, _ := unpack(t, pkg{Name: "aa", Files: files(text("usr/Főtanúsítvány.crt", ""))})
	if n := len(listings[0].Entries); listings[0].Entries[n-1].Path != "/usr/Főtanúsítvány.crt" {
		t.Error(fmt.Sprint(listings[0].Entries[n-1].Path))
	}
}
