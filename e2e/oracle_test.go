package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"distroless/catalog"
	"distroless/internal/build"
	"distroless/internal/plan/lock"
	"distroless/internal/plan/spec"
	"distroless/internal/rootfs"
	"distroless/internal/testenv"
)

// TestTreeOracle holds the files of images against what dpkg-deb unpacks from
// the same packages. If it fails, files in the images are not Debian's.
func TestTreeOracle(t *testing.T) {
	testenv.E2E(t)
	rep := must(t, all.images)
	l, err := lock.Read(rep.lock)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ distro, arch string }{{"debian13", "amd64"}, {"debian12", "amd64"}, {"debian13", "arm64"}} {
		t.Run(c.distro+"/"+c.arch, func(t *testing.T) {
			o := &treeOracle{t: t, root: filepath.Join(t.TempDir(), "image"), owned: map[string]bool{"/": true}, moves: map[string]string{}, own: map[string]bool{}}
			o.definition("cc", c.distro)
			tool(t, rep.dir, "umoci", "unpack", "--rootless=false", "--image", "dist/cc-"+c.distro+":debug-"+platforms()[c.arch].goarch, o.root)
			o.root = filepath.Join(o.root, "rootfs")
			for _, name := range []string{"static", "base-nossl", "base", "cc"} {
				for _, p := range l.Cells[lock.Key{Image: name, Distro: c.distro, Arch: c.arch}].All() {
					o.compare(p)
				}
			}
			o.unowned()
			t.Logf("%d paths of packages are in the image, %d are not, %d are the build's own", len(o.owned), o.absent, o.generated)
			if len(o.owned) < 500 || o.absent < 100 {
				t.Error("that is too few to be right")
			}
		})
	}
}

// treeOracle compares one unpacked image with its packages.
type treeOracle struct {
	t         *testing.T
	root      string // of the image
	merged    bool
	slices    []spec.Slice
	moves     map[string]string
	own       map[string]bool // paths that definitions state themselves
	owned     map[string]bool // paths of the image that a package has
	absent    int
	generated int
}

// definition gathers what the catalogue says of an image and those below it.
func (o *treeOracle) definition(image, distro string) {
	cat, err := build.LoadCatalog(catalog.Files)
	if err != nil {
		o.t.Fatal(err)
	}
	d, err := cat.Distro(distro)
	if err != nil {
		o.t.Fatal(err)
	}
	o.merged = d.MergedUsr
	for image != "" {
		def, err := cat.Image(image)
		if err != nil {
			o.t.Fatal(err)
		}
		s, err := def.For(distro)
		if err != nil {
			o.t.Fatal(err)
		}
		o.slices = append(o.slices, s.Slices...)
		if s.Debug != nil {
			o.slices = append(o.slices, s.Debug.Slices...)
		}
		for _, c := range s.Contents {
			o.own[c.Path] = true
		}
		image = def.From
	}
	for _, s := range o.slices {
		maps.Copy(o.moves, s.Move)
	}
}

// place is where the image has a package's path.
func (o *treeOracle) place(p string) string {
	first, _, more := strings.Cut(p[1:], "/")
	if o.merged && more && slices.Contains([]string{"bin", "sbin", "lib", "lib64"}, first) {
		p = "/usr" + p
	}
	if to, ok := o.moves[p]; ok {
		return to
	}
	return p
}

// mayDrop reports whether a rule of the definitions speaks of leaving p out.
func (o *treeOracle) mayDrop(pkg, p string) bool {
	return slices.ContainsFunc(o.slices, func(s spec.Slice) bool {
		hit := func(g string) bool { return rootfs.Match(g, p) }
		return (s.Package == "" || s.Package == pkg) && (slices.ContainsFunc(s.Drop, hit) || slices.ContainsFunc(s.KeepReferenced, hit))
	})
}

// compare holds one package against the image.
func (o *treeOracle) compare(p lock.Package) {
	dir := filepath.Join(o.t.TempDir(), p.Name)
	tool(o.t, all.dir, "dpkg-deb", "-x", filepath.Join(all.cache, "cache", "sha256", p.SHA256), dir)
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		at := strings.TrimPrefix(file, dir)
		o.path(p.Name, file, at)
		return nil
	})
	if err != nil {
		o.t.Fatal(err)
	}
}

// path compares one path of a package, unpacked at file.
func (o *treeOracle) path(pkg, file, at string) {
	t, to := o.t, o.place(at)
	if o.own[to] {
		return
	}
	want, err := os.Lstat(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.Lstat(o.root + to)
	if err != nil {
		o.absent++
		if !o.mayDrop(pkg, to) && !o.follows(file, at, want) {
			t.Errorf("%s of %s is not in the image, and no rule drops it", at, pkg)
		}
		return
	}
	o.owned[to] = true
	if o.merged && want.IsDir() && got.Mode()&fs.ModeSymlink != 0 && strings.Count(to, "/") == 1 {
		return // a merged-usr link
	}
	if got.Mode() != want.Mode() {
		t.Errorf("%s of %s has mode %s, dpkg-deb gives %s", to, pkg, got.Mode(), want.Mode())
		return
	}
	gs, ws := got.Sys().(*syscall.Stat_t), want.Sys().(*syscall.Stat_t)
	if gs.Uid != ws.Uid || gs.Gid != ws.Gid {
		t.Errorf("%s of %s belongs to %d:%d, dpkg-deb gives %d:%d", to, pkg, gs.Uid, gs.Gid, ws.Uid, ws.Gid)
	}
	if !want.IsDir() && got.ModTime().Unix() != want.ModTime().Unix() {
		t.Errorf("%s of %s has time %s, dpkg-deb gives %s", to, pkg, got.ModTime(), want.ModTime())
	}
	switch {
	case want.Mode().IsRegular():
		a, err := os.ReadFile(o.root + to)
		b, err2 := os.ReadFile(file)
		if err != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%s of %s has other bytes than dpkg-deb gives (%v, %v)", to, pkg, err, err2)
		}
	case want.Mode()&fs.ModeSymlink != 0:
		a, b := target(t, o.root+to), target(t, file)
		if a != b && (to == at || o.place(resolve(at, b)) != o.place(resolve(to, a))) {
			t.Errorf("%s of %s leads to %s, dpkg-deb gives %s", to, pkg, a, b)
		}
	}
}

// follows reports whether a path is left out because something else is: a
// directory of which nothing is left, a link whose target is gone.
func (o *treeOracle) follows(file, at string, info fs.FileInfo) bool {
	if info.IsDir() {
		entries, err := os.ReadDir(file)
		return err == nil && len(entries) > 0
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return false
	}
	_, err := os.Lstat(o.root + o.place(resolve(at, target(o.t, file))))
	return err != nil
}

func target(t *testing.T, link string) string {
	to, err := os.Readlink(link)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// resolve is the path that a link at p to target names.
func resolve(p, target string) string {
	if path.IsAbs(target) {
		return path.Clean(target)
	}
	return path.Join(path.Dir(p), target)
}

// unowned accounts for what is in the image and in no package.
func (o *treeOracle) unowned() {
	generated := []string{
		"/etc/passwd", "/etc/group", "/etc/ld.so.cache", "/etc/ssl", "/etc/ssl/certs", "/etc/ssl/certs/ca-certificates.crt",
		"/var/lib/dpkg", "/var/lib/dpkg/status.d", "/var/lib/dpkg/status.d/*", "/var/lib/distroless", "/var/lib/distroless/generated", "/var/lib/distroless/generated/*", "/home/nonroot", "/busybox", "/busybox/*",
		"/bin", "/sbin", "/lib", "/lib64",
	}
	err := filepath.WalkDir(o.root, func(file string, d fs.DirEntry, err error) error {
		p := strings.TrimPrefix(file, o.root)
		if err != nil || p == "" || o.owned[p] || o.own[p] {
			return err
		}
		o.generated++
		if !slices.ContainsFunc(generated, func(g string) bool { return rootfs.Match(g, p) }) {
			o.t.Errorf("%s is in the image, and neither a package nor a rule puts it there", p)
		}
		return nil
	})
	if err != nil {
		o.t.Fatal(err)
	}
}

// TestBundleOracle holds the certificate bundle against the one that
// update-ca-certificates writes in a chroot of the real packages. If it fails,
// programs in an image trust others than on Debian.
func TestBundleOracle(t *testing.T) {
	testenv.E2E(t)
	m := must(t, all.mirror)
	dir := t.TempDir()
	own := ownCertificate(t)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("own.crt", own)
	write("oracle.yaml", "name: oracle\ndescription: what update-ca-certificates needs\npackages: [ca-certificates, openssl, dash, coreutils, debianutils, findutils, sed]\ndistros: {debian12: {}, debian13: {}}\n")
	write("custom.yaml", "name: custom\ndescription: static with a certificate of its own\nfrom: static\ncertificates: [own.crt]\ndistros: {debian12: {}, debian13: {}}\n")
	args := append([]string{"--distro", "all", "--arch", "amd64", "--lock", "lock.json", "--json", "--cache", filepath.Join(all.cache, "cache")}, m.args()...)
	if o := (&run{dir: dir, args: append([]string{"lock", "./oracle.yaml"}, args...)}).start().wait(); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	(&run{dir: dir, args: append([]string{"build", "static", "./custom.yaml"}, args...)}).start().wait().ok(t)
	l, err := lock.Read(filepath.Join(dir, "lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, distro := range distros {
		chroot := filepath.Join(dir, "chroot-"+distro)
		m.unpackAll(t, chroot, l.Cells[lock.Key{Image: "oracle", Distro: distro, Arch: "amd64"}].Packages)
		for _, c := range []struct{ image, local string }{{"static", ""}, {"custom", own}} {
			t.Run(distro+"/"+c.image, func(t *testing.T) {
				bundle := filepath.Join(dir, "bundle-"+c.image+"-"+distro)
				tool(t, dir, "umoci", "unpack", "--rootless=false", "--image", "dist/"+c.image+"-"+distro+":latest", bundle)
				const file = "etc/ssl/certs/ca-certificates.crt"
				got, err := os.ReadFile(filepath.Join(bundle, "rootfs", file))
				if err != nil {
					t.Fatal(err)
				}
				updateCertificates(t, chroot, c.local)
				want, err := os.ReadFile(filepath.Join(chroot, file))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("the bundle is not that of update-ca-certificates: %s", bundleDifference(got, want))
				}
				if n := bytes.Count(want, []byte("BEGIN CERTIFICATE")); n < 100 {
					t.Errorf("update-ca-certificates wrote %d certificates", n)
				}
			})
		}
	}
}

// updateCertificates runs update-ca-certificates in a chroot, as the package's
// postinst does when every authority is to be trusted.
func updateCertificates(t *testing.T, chroot, local string) {
	t.Helper()
	at := filepath.Join(chroot, "usr/local/share/ca-certificates")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if local != "" {
		if err := os.WriteFile(filepath.Join(at, "own.crt"), []byte(local), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, "/", "chroot", chroot, "/usr/bin/dash", "-ec", `PATH=/usr/sbin:/usr/bin
test -e /bin/sh || ln -s dash /bin/sh
mkdir -p /tmp /dev /etc/ssl/certs
cd /usr/share/ca-certificates
find -L . -type f -name '*.crt' | sed 's|^[.]/||' | sort > /etc/ca-certificates.conf
update-ca-certificates --fresh`)
}

// bundleDifference tells whether two bundles hold the same certificates.
func bundleDifference(a, b []byte) string {
	split := func(x []byte) []string {
		s := strings.SplitAfter(string(x), "-----END CERTIFICATE-----\n")
		slices.Sort(s)
		return s
	}
	if slices.Equal(split(a), split(b)) {
		return "the same certificates, in another order"
	}
	first := func(x, y []string) string {
		for _, c := range x {
			if !slices.Contains(y, c) {
				return c
			}
		}
		return "none\n"
	}
	return fmt.Sprintf("%d certificates, want %d\nin the image only, the first: %sthere only, the first: %s",
		len(split(a))-1, len(split(b))-1, first(split(a), split(b)), first(split(b), split(a)))
}

// unpackAll unpacks packages into a folder that has the merged-usr links, which
// both releases work with.
func (m *mirror) unpackAll(t *testing.T, dir string, packages []lock.Package) {
	t.Helper()
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.MkdirAll(filepath.Join(dir, "usr", d), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("usr/"+d, filepath.Join(dir, d)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range packages {
		path := suiteRoot(p.Suite) + p.Path
		if m.file(t, path) == nil {
			t.Fatalf("%s: the archive no longer has it", path)
		}
		cmd := exec.Command("sh", "-ec", `dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"`, "sh", filepath.Join(m.dir, filepath.FromSlash(path)), dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("unpack %s: %v\n%s", p.Name, err, out)
		}
	}
}

// ownCertificate makes an authority that no package has.
func ownCertificate(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "own.crt")
	tool(t, "/", "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null", "-out", file, "-subj", "/CN=An authority of our own", "-days", "2")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
